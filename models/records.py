"""The records that roles exchange over internal and public topics, as typed structs (JSON on the wire)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Probability = Annotated[float, Meta(ge=0, le=1)]
#: A count that fits the 64-bit integers of Kafka and of every warehouse.
Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
#: A Kafka offset; -1 stands for nothing read yet.
Offset = Annotated[int, Meta(ge=-1, le=2**63 - 1)]
#: Seconds since 1970 within the years 1 to 9999.
EpochSeconds = Annotated[float, Meta(ge=-62_135_596_800, le=253_402_300_799)]
Id = Annotated[str, Meta(min_length=1)]


class Reason(msgspec.Struct, frozen=True):
    """One reason for a score: `contribution` is in calibrated log-odds against the average customer.

    `typical` is what is usual in the column's unit, `text` a sentence for people.
    """

    rank: Natural
    feature: str
    value: float | None
    contribution: float
    typical: float | None = None
    text: str = ""


class ModelRef(msgspec.Struct, frozen=True):
    """Which model made a probability. `name` is `rule`, `prior` or a learned model's name."""

    name: str
    version: str


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """One score, the value of a record on topic `scores` (key: customer id). Times are ISO-8601 UTC.

    `eligible` is False once the customer has left or is not in the cohort that the label speaks of; the band is
    then `left` and `likelihood_to_churn` False. `source_offsets` maps `topic/partition` to the last offset
    that is part of the score. `features` is the vector as served. `other_horizons` maps days, such as `7`, to the
    probability of leaving within so many.
    """

    schema_version: int = 1
    score_id: Id
    customer_id: Id
    probability: Probability
    band: str
    likelihood_to_churn: bool
    eligible: bool
    percentile: float
    horizon_days: float
    label_kind: str
    reasons: tuple[Reason, ...]
    model: ModelRef
    feature_version: str
    source_offsets: dict[str, Offset]
    as_of: str
    event_watermark: str
    scored_at: str
    revision: Natural
    features: dict[str, float | None]
    other_horizons: dict[str, Probability] = {}


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A matured prediction on topic `examples`: the vector as served, what was emitted, and the truth.

    One per prediction and horizon. `features` is in registry order, null where unknown. All probabilities were computed
    when the vector was scored: `probability` is what was emitted for the horizon, `own` what each learned form of the
    model said before calibration, served or not. Times are epoch seconds. `label` tells whether the customer left
    between `as_of` plus the gap and the end of the horizon behind it.
    """

    example_id: Id
    customer_id: Id
    as_of: EpochSeconds
    matured_at: EpochSeconds
    horizon_days: float
    gap_days: float = 0.0
    label: Annotated[int, Meta(ge=0, le=1)]
    probability: Probability
    rule_probability: Probability
    prior_probability: Probability
    own: dict[str, Probability] = {}
    model: ModelRef
    feature_version: str
    features: tuple[float | None, ...]


Status = Literal["pending", "matured", "revised", "void"]
Outcome = Literal["unknown", "stayed", "left", "left_involuntary", "left_in_gap", "reactivated"]


class LabelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the label ledger, the value of a record on topic `labels` (key: customer id).

    What is known of one prediction and horizon at `known_at`; a later line of the same customer, `as_of` and horizon
    replaces it. `pending`: not known before `due_at`. `matured`: known. `revised`: known otherwise than first told,
    since an event came late or the customer came back. `void`: no truth to learn from, since the customer left in
    the gap or without wanting to; `label` is null then. Times are epoch seconds.
    """

    schema_version: int = 1
    customer_id: Id
    as_of: EpochSeconds
    horizon_days: float
    gap_days: float
    label_kind: str
    status: Status
    outcome: Outcome
    label: Annotated[int, Meta(ge=0, le=1)] | None
    probability: Probability
    rule_probability: Probability
    prior_probability: Probability
    own: dict[str, Probability] = {}
    model: ModelRef
    feature_version: str
    known_at: EpochSeconds
    due_at: EpochSeconds
