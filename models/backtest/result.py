"""What a backtest found, as plain data: the schema of `ebbtide backtest --json`, and all that its report shows.

Times are ISO-8601 in UTC, money is in the currency of `settings.offer`, log loss is in nats. Fields are only ever
added; `schema_version` grows when one changes its meaning.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from models.audit import Verdict
from models.backtest.audit import AuditReport
from models.evaluation import Evaluation, Interval, ReliabilityBin
from models.settings import OfferSettings

Ended = Literal["complete", "stopped", "fault"]


class LabelCard(msgspec.Struct, frozen=True, kw_only=True):
    """What was predicted, of whom, and how often it came true among the judged predictions.

    `void` are those without a label: the customer left in the gap, or without wanting to. `unknown` are those whose
    horizon ends after the data.
    """

    kind: str
    horizon_days: float
    gap_days: float
    definition: str
    cohort: str
    customers: int
    predictions: int
    stayed: int
    left: int
    void: int
    unknown: int


class Cutoff(msgspec.Struct, frozen=True, kw_only=True):
    """One weekly cut-off. `measures` is by predictor; empty while labels are unknown or too few.

    `expected` is what the probabilities themselves let expect of the emitted ones, known before any label is.
    """

    as_of: str
    predictions: int
    labelled: int
    positives: int
    model: str
    measures: dict[str, dict[str, Interval]]
    expected: dict[str, Interval]


class Curves(msgspec.Struct, frozen=True, kw_only=True):
    """Lines to draw, by predictor, as lists of numbers of equal length. `profit` is of a campaign at each share."""

    roc: dict[str, dict[str, list[float]]]
    precision_recall: dict[str, dict[str, list[float]]]
    gain: dict[str, dict[str, list[float]]]
    profit: dict[str, dict[str, list[float]]]


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """What contacting the riskiest `share` of the cohort at every cut-off would have earned, beside the rule's choice.

    `lift` is how many more leavers were among them than among as many drawn by chance, `reached` which share of all
    leavers. Profits are sums over the judged cut-offs.
    """

    share: float
    lift: Interval
    reached: Interval
    profit: float
    profit_rule: float
    profit_everyone: float


class Importance(msgspec.Struct, frozen=True, kw_only=True):
    """How far a column moves the log-odds of the model in use at the end: the mean size of its contributions."""

    feature: str
    description: str
    mean_size: float
    echoes_label: bool


class FeatureDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One column (or `probability`) in the first half of the cut-offs against the last quarter."""

    feature: str
    psi: float
    mean_before: float | None
    mean_after: float | None
    unknown_before: float
    unknown_after: float


class Horizon(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one horizon. `judged_days` is the window that curves and campaign speak of, None for all time."""

    horizon_days: float
    card: LabelCard
    evaluations: list[Evaluation]
    judged_days: float | None
    cutoffs: list[Cutoff]
    curves: Curves
    calibration: list[ReliabilityBin]
    campaign: Campaign | None
    importance: list[Importance]
    drift: list[FeatureDrift]


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """What was read. `refused` is by reason of the decoder; `late` events came more than the sort window too late."""

    sources: list[str]
    events: int
    applied: int
    duplicates: int
    late: int
    refused: dict[str, int]
    customers: int
    first_event: str
    last_event: str
    known_until: str
    judged_share_of_customers: float


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A model that served from one step on."""

    since: str
    model: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A whole backtest; the first of `horizons` is the one that is served."""

    schema_version: int = 1
    ended: Ended
    fault: str | None
    data: Data
    every_days: float
    sufficiency: Verdict
    offer: OfferSettings
    served: list[Served]
    horizons: list[Horizon]
    audit: AuditReport | None
    timings: dict[str, float]
    versions: dict[str, str]
