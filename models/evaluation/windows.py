"""How good the emitted probabilities were over the last 7, 30 and 90 days, beside the rule and the prior.

A row counts on the day on which its horizon ends, whatever its label. That of a leaver is often known earlier; but a
window of what became known would hold leavers and stayers of different weeks, with too many leavers whenever the number
of customers grows or the stream has just begun. Where the horizon ends, all rows of one day are known together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from models.evaluation import influence
from models.evaluation.influence import Linear
from models.evaluation.intervals import Clusters, Interval, around
from models.evaluation.measures import Array, log_losses
from models.evaluation.profit import threshold, values
from models.settings import OfferSettings

#: The name of what was really emitted, beside the names of the references.
EMITTED = "emitted"
WINDOWS_DAYS = (7.0, 30.0, 90.0)
_DAY_S = 86_400.0
_SHARES = frozenset({"auc", "average_precision", "ece", "precision_at_top", "recall_at_top"})
_COMPARED = ("auc", "log_loss", "brier", "profit")


class EvaluationRows(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Predictions as columns of equal length, in any order.

    `customer` are whole numbers, one per customer; `as_of` and `due_at` are epoch seconds: when it was predicted, and
    when its horizon ended (gap included). `label` is 0, 1 or NaN while the truth is not known. `probability` is what
    was emitted; `references` are what others said of the same customer at the same time (`rule`, `prior`), NaN where
    they said nothing.

    Raises
    ------
    ValueError
        When the columns are not of one length, or `references` has a column named `emitted`.
    """

    customer: Array
    as_of: Array
    due_at: Array
    label: Array
    probability: Array
    references: Mapping[str, Array] = {}

    def __post_init__(self) -> None:
        columns = {"as_of": self.as_of, "due_at": self.due_at, "label": self.label, "probability": self.probability}
        wrong = {n: len(c) for n, c in {**columns, **self.references}.items() if len(c) != len(self.customer)}
        if wrong or EMITTED in self.references:
            raise ValueError(
                f"rows with columns {wrong or [EMITTED]} beside {len(self.customer)} customers "
                f"(allowed: one length, references not named '{EMITTED}')"
            )

    def where(self, mask: Array) -> EvaluationRows:
        """The rows that a boolean mask or positions choose."""
        return EvaluationRows(
            customer=self.customer[mask],
            as_of=self.as_of[mask],
            due_at=self.due_at[mask],
            label=self.label[mask],
            probability=self.probability[mask],
            references={name: column[mask] for name, column in self.references.items()},
        )


class Least(msgspec.Struct, frozen=True, kw_only=True):
    """Fewer than these, and only counts are told, no measures."""

    rows: int = 100
    positives: int = 10
    negatives: int = 10
    customers: int = 30


_LEAST = Least()


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The measures of one predictor on the rows of one window and cohort.

    `window_days` is None for all time, `cohort` is `all` or a declared name. `measures` has `auc`, `average_precision`,
    `log_loss`, `brier`, `ece`, `precision_at_top`, `recall_at_top`, `lift_at_top`, `rate` (of positives),
    `probability` (the mean) and `profit` (money per row, when everyone above the offer's threshold is contacted). It is
    empty where there are too few rows. `against` has, per reference, this predictor's `auc`, `log_loss`, `brier` and
    `profit` minus the reference's on the same rows; only the emitted probabilities have it.
    """

    window_days: float | None
    cohort: str
    predictor: str
    rows: int
    customers: int
    positives: int
    top: float
    measures: dict[str, Interval]
    against: dict[str, dict[str, Interval]]


def evaluate(
    rows: EvaluationRows,
    at: float,
    offer: OfferSettings,
    *,
    windows_days: Sequence[float] = WINDOWS_DAYS,
    top: float = 0.1,
    cohorts: Mapping[str, Array] | None = None,
    least: Least = _LEAST,
) -> list[Evaluation]:
    """Measure every predictor over the windows that end `at` (epoch seconds) and over all time, by cohort too.

    A row counts when its horizon has ended, its label is known and every predictor said something. `top` is the share
    (or, as an int, the number) of highest scores for precision, recall and lift. `cohorts` maps names to boolean masks
    over the rows, all but `all` allowed. The answer is in the order: windows, all time; cohorts; emitted, references.
    """
    known = (rows.due_at <= at) & np.isfinite(rows.label) & np.isfinite(rows.probability)
    for column in rows.references.values():
        known = known & np.isfinite(column)
    found = []
    for days in (*windows_days, None):
        inside = known if days is None else known & (rows.due_at > at - days * _DAY_S)
        for cohort, mask in {"all": np.ones(len(known), dtype=bool), **(cohorts or {})}.items():
            found += _measured(rows.where(inside & mask), offer, days, cohort, top, least)
    return found


def measures(labels: Array, probabilities: Array, offer: OfferSettings, top: float = 0.1) -> dict[str, Linear]:
    """All measures of `Evaluation` with their influences, defined or not."""
    contacted = probabilities > threshold(offer)
    return {
        "auc": influence.of_auc(labels, probabilities),
        "average_precision": influence.of_average_precision(labels, probabilities),
        "log_loss": influence.of_mean(log_losses(labels, probabilities)),
        "brier": influence.of_mean(np.square(probabilities - labels)),
        "ece": influence.of_ece(labels, probabilities),
        "precision_at_top": influence.of_precision(labels, probabilities, top),
        "recall_at_top": influence.of_recall(labels, probabilities, top),
        "lift_at_top": influence.of_lift(labels, probabilities, top),
        "rate": influence.of_mean(np.asarray(labels, dtype=np.float64)),
        "probability": influence.of_mean(np.asarray(probabilities, dtype=np.float64)),
        "profit": influence.of_mean(values(labels, offer) * contacted),
    }


def _measured(
    rows: EvaluationRows, offer: OfferSettings, days: float | None, cohort: str, top: float, least: Least
) -> list[Evaluation]:
    clusters, positives = Clusters(rows.customer), int(rows.label.sum())
    predictors = {EMITTED: rows.probability, **rows.references}
    enough = (
        len(rows.label) >= least.rows
        and clusters.count >= least.customers
        and positives >= least.positives
        and len(rows.label) - positives >= least.negatives
    )
    linear = {n: measures(rows.label, p, offer, top) for n, p in predictors.items()} if enough else {}
    return [
        Evaluation(
            window_days=days,
            cohort=cohort,
            predictor=name,
            rows=len(rows.label),
            customers=clusters.count,
            positives=positives,
            top=top,
            measures={key: _interval(key, measure, clusters) for key, measure in linear.get(name, {}).items()},
            against=_against(linear, clusters) if name == EMITTED else {},
        )
        for name in predictors
    ]


def _against(linear: dict[str, dict[str, Linear]], clusters: Clusters) -> dict[str, dict[str, Interval]]:
    return {
        name: {key: around(linear[EMITTED][key].minus(other[key]), clusters) for key in _COMPARED}
        for name, other in linear.items()
        if name != EMITTED
    }


def _interval(name: str, measure: Linear, clusters: Clusters) -> Interval:
    if name in _SHARES:
        return around(measure, clusters, 0.0, 1.0)
    return around(measure, clusters, -math.inf if name == "profit" else 0.0)
