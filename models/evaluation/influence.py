"""Measures as means: each with how much every single example moves it.

A measure T has an influence function f with mean zero such that its estimate is about T plus the mean of f over the
examples. Summed by customer, influences give a standard error that holds although the examples of one customer depend
on each other, and those of two predictors on the same examples can be subtracted. For AUC they are the placement values
of DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44(3), which Obuchowski (1997), Biometrics 53(2), sums by
cluster; for the others see Hampel (1974), JASA 69(346).
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from models.evaluation.measures import Array, Floats, auc, average_precision, equal_mass_bins, in_top


class Linear(msgspec.Struct, frozen=True, eq=False):
    """A measure and the influence of each example on it. `support` is the number of examples that it rests on."""

    value: float
    influence: Floats
    support: float

    def minus(self, other: Linear) -> Linear:
        """The difference of two measures of the same examples in the same order."""
        return Linear(self.value - other.value, self.influence - other.influence, min(self.support, other.support))


def of_mean(values: Floats) -> Linear:
    """The mean: losses, profits."""
    value = float(values.mean()) if len(values) else math.nan
    return Linear(value, values - value, len(values))


def of_auc(labels: Array, scores: Array) -> Linear:
    """`measures.auc`; an example's influence is its placement among those of the other class."""
    positive = labels == 1
    high, low = np.sort(scores[positive]), np.sort(scores[~positive])
    value = auc(labels, scores)
    influence = np.empty(len(labels))
    if math.isnan(value):
        influence[:] = math.nan
    else:
        influence[positive] = (_below(low, scores[positive]) - value) / (len(high) / len(labels))
        influence[~positive] = (1.0 - _below(high, scores[~positive]) - value) / (len(low) / len(labels))
    return Linear(value, influence, min(len(high), len(low)))


def of_average_precision(labels: Array, scores: Array) -> Linear:
    """`measures.average_precision`: a positive moves it by its own precision, and all by the precision of those below.

    With TP(s) and N(s) the shares of positives and of all examples at or above s, and r the rate of positives, AP is
    the mean of TP(s)/N(s) over positives; the influence is its derivative when a little mass is put on an example.
    """
    value, rate = average_precision(labels, scores), labels.mean() if len(labels) else math.nan
    if math.isnan(value):
        return Linear(value, np.full(len(labels), math.nan), 0)
    _, group, counts = np.unique(-np.asarray(scores, dtype=np.float64), return_inverse=True, return_counts=True)
    new_hits = np.bincount(group, weights=labels, minlength=len(counts))
    above, hits = np.cumsum(counts), np.cumsum(new_hits)
    own = hits / above
    gained = np.cumsum((new_hits / above)[::-1])[::-1]
    lost = np.cumsum((new_hits * hits / above**2)[::-1])[::-1]
    return Linear(value, (labels * (own + gained - value)[group] - lost[group]) / rate, float(labels.sum()))


def of_ece(labels: Array, probabilities: Array, bins: int = 15) -> Linear:
    """`measures.ece` with its bins held.

    It is a mean of absolute values, so noise alone makes it larger than 0: about `sqrt(2 / pi * bins * r (1 - r) / n)`
    for a rate r, and its interval is honest only where the ECE is well above that.
    """
    gap = np.asarray(probabilities - labels, dtype=np.float64)
    bin_of = equal_mass_bins(probabilities, bins)
    signed = gap * np.sign(np.bincount(bin_of, weights=gap, minlength=bins))[bin_of]
    return of_mean(signed)


def of_precision(labels: Array, scores: Array, top: float) -> Linear:
    """`measures.precision_at`, with the cut as uncertain as the scores make it."""
    chosen = in_top(scores, top)
    size = chosen.sum()
    if not size:
        return Linear(math.nan, np.full(len(labels), math.nan), 0)
    value, share = float((chosen * labels).sum() / size), size / len(labels)
    at_cut = _rate_at_cut(labels, scores, round(size))
    return Linear(value, (chosen * labels - share * value - at_cut * (chosen - share)) / share, float(size))


def of_recall(labels: Array, scores: Array, top: float) -> Linear:
    """`measures.recall_at`."""
    precision, rate = of_precision(labels, scores, top), labels.mean() if len(labels) else math.nan
    if not labels.sum():
        return Linear(math.nan, np.full(len(labels), math.nan), 0)
    share = precision.support / len(labels)
    value = precision.value * share / rate
    return Linear(value, (share * precision.influence - value * (labels - rate)) / rate, float(labels.sum()))


def of_lift(labels: Array, scores: Array, top: float) -> Linear:
    """`measures.lift_at`."""
    precision, rate = of_precision(labels, scores, top), labels.mean() if len(labels) else math.nan
    if not labels.sum():
        return Linear(math.nan, np.full(len(labels), math.nan), 0)
    value = float(precision.value / rate)
    return Linear(value, (precision.influence - value * (labels - rate)) / rate, precision.support)


def _below(others: Floats, scores: Floats) -> Floats:
    """Share of the sorted `others` that each score is above; ties count half."""
    left, right = np.searchsorted(others, scores, side="left"), np.searchsorted(others, scores, side="right")
    return np.asarray((left + right) / 2.0 / len(others))


def _rate_at_cut(labels: Array, scores: Array, size: int) -> float:
    """Rate of positives among the scores near the `size`-th highest; all that are equal to it are near."""
    reach = int(math.sqrt(len(scores)))
    order = np.argsort(-scores, kind="stable")
    near = order[max(0, size - reach) : size + reach]
    level = scores == scores[order[size - 1]]
    return float(labels[level].mean() if level.sum() > len(near) else labels[near].mean())
