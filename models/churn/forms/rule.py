"""The recency rule: how likely a customer is to leave, from the longer of the present silence and the usual gap.

One table over log-spaced bins of days. It needs no training to be useful, and it is the reference that a learned
model has to beat.

Why both: on a fixed horizon a customer who comes every 40 days is at risk even the day after a visit, which the
silence alone misses, and so does its ratio to the usual gap. Complete Journey, no basket within 30 days, mid-November
2017: AUC .69 for the ratio, .83 for the silence, .87 for the longer of silence and gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from models.churn.calibration import logit
from models.churn.forms.base import Matrix, Vector, sane
from models.churn.forms.prior import INITIAL_PRIOR

#: Columns in days whose largest known value the rule reads, per label kind.
SILENCE: dict[str, tuple[str, ...]] = {
    "inactivity": ("days_since_order", "order_cadence_days"),
    "cancellation": ("days_since_activity", "activity_cadence_days"),
}
EDGES_DAYS = (0.5, 1.0, 2.0, 3.0, 4.5, 6.5, 9.0, 13.0, 18.0, 25.0, 36.0, 50.0, 72.0, 100.0)
MAX_BINS = 200
_LOWEST, _HIGHEST = 0.03, 0.70


def _straight_line(bins: int) -> tuple[float, ...]:
    low, high = (math.log(rate / (1.0 - rate)) for rate in (_LOWEST, _HIGHEST))
    return tuple(1.0 / (1.0 + math.exp(-(low + (high - low) * i / (bins - 1)))) for i in range(bins))


#: The built-in rate per bin: a straight line in log-odds.
CURVE = _straight_line(len(EDGES_DAYS) + 1)


class RuleForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="rule"):
    """The rate of the bin in which the largest known value of `columns` lies, in days; `unknown` where none is known.

    `edges` are the inner bin edges (a value equal to an edge lies right of it), `rates` the probability per bin,
    one more than edges, never falling.
    """

    columns: tuple[str, ...]
    edges: tuple[float, ...]
    rates: tuple[float, ...]
    unknown: float


def initial_rule(names: Sequence[str], kind: str) -> RuleForm:
    """The built-in table of a label kind, over those of its columns that exist."""
    columns = tuple(name for name in SILENCE[kind] if name in names)
    return RuleForm(columns=columns, edges=EDGES_DAYS, rates=CURVE, unknown=INITIAL_PRIOR)


class RuleScorer:
    """A `RuleForm` ready to be applied to matrices. The average customer is the one whose silence is not known."""

    def __init__(self, form: RuleForm, names: Sequence[str]) -> None:
        self._read = np.array([names.index(name) for name in form.columns], dtype=np.intp)
        self._edges = np.array(form.edges)
        self._rates = np.array([*form.rates, form.unknown])
        self._logits = logit(self._rates)
        self.base = float(self._logits[-1])

    def probabilities(self, x: Matrix) -> Vector:
        """The rate per row."""
        rates: Vector = self._rates[self._bins(x)]
        return rates

    def logits(self, x: Matrix) -> Vector:
        """Its log-odds."""
        logits: Vector = self._logits[self._bins(x)]
        return logits

    def contributions(self, x: Matrix) -> Vector:
        """All of it lies on the column that was read, the first one of equals."""
        moved = np.zeros(x.shape)
        if len(self._read):
            read = x[:, self._read]
            column = self._read[np.argmax(np.where(np.isnan(read), -np.inf, read), axis=1)]
            moved[np.arange(len(x)), column] = self.logits(x) - self.base
        return moved

    def _bins(self, x: Matrix) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        silence: Vector = np.full(len(x), np.nan)
        for column in self._read:
            silence = np.fmax(silence, x[:, column])
        bins = np.searchsorted(self._edges, silence, side="right")
        return np.where(np.isnan(silence), len(self._rates) - 1, bins)


def rule_faults(form: RuleForm, names: set[str]) -> Iterator[str]:
    """Every reason not to use the form with columns of these names."""
    for name in form.columns:
        if name not in names:
            yield f"rule column '{name[:80]}' is not a column of the model"
    if len(form.rates) != len(form.edges) + 1 or len(form.rates) > MAX_BINS:
        yield f"rule has {len(form.rates)} rates for {len(form.edges)} edges (allowed: one more, up to {MAX_BINS})"
    if not all(map(sane, form.edges)) or list(form.edges) != sorted(set(form.edges)):
        yield "rule edges are not finite and rising"
    if not all(0.0 < rate < 1.0 for rate in form.rates) or list(form.rates) != sorted(form.rates):
        yield "rule rates are not probabilities that never fall"
    if not 0.0 < form.unknown < 1.0:
        yield f"rule rate {form.unknown} of the unknown is not a probability"
