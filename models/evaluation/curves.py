"""What a report draws of labels and scores: ROC, precision and recall, gain, and the reliability table.

Curves have one point per distinct score, from the highest down, thinned to at most `points` of them.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from models.evaluation.intervals import wilson
from models.evaluation.measures import Array, Floats, equal_mass_bins


class RocCurve(msgspec.Struct, frozen=True, eq=False):
    """From (0, 0) to (1, 1); `threshold` is the lowest score that is called positive, infinite at the first point."""

    false_positive_rate: Floats
    true_positive_rate: Floats
    threshold: Floats


class PrecisionRecallCurve(msgspec.Struct, frozen=True, eq=False):
    """By falling threshold, so by rising recall. There is no point at recall 0, where precision is not defined."""

    recall: Floats
    precision: Floats
    threshold: Floats


class GainCurve(msgspec.Struct, frozen=True, eq=False):
    """When the `share` of highest scores is contacted: the share of positives reached, and the lift over chance."""

    share: Floats
    gain: Floats
    lift: Floats


class ReliabilityBin(msgspec.Struct, frozen=True):
    """Examples of neighbouring probabilities: what was said (`probability`, their mean) and what came (`rate`).

    `low` and `high` are the 95 % Wilson interval of the rate as if the examples were independent.
    """

    lowest: float
    highest: float
    count: int
    positives: int
    probability: float
    rate: float
    low: float
    high: float


def roc_curve(labels: Array, scores: Array, points: int = 500) -> RocCurve:
    """Empty without both classes. The area below it is `auc` (exactly so before thinning)."""
    counts, hits, thresholds = _cumulated(labels, scores)
    positives, negatives = labels.sum(), len(labels) - labels.sum()
    if not positives or not negatives:
        return RocCurve(np.zeros(0), np.zeros(0), np.zeros(0))
    at = _thin(len(counts), points)
    false, true = (counts - hits)[at] / negatives, hits[at] / positives
    return RocCurve(np.append(0.0, false), np.append(0.0, true), np.append(math.inf, thresholds[at]))


def precision_recall_curve(labels: Array, scores: Array, points: int = 500) -> PrecisionRecallCurve:
    """Empty without a positive. Precision summed over the steps of recall is `average_precision`."""
    counts, hits, thresholds = _cumulated(labels, scores)
    if not labels.sum():
        return PrecisionRecallCurve(np.zeros(0), np.zeros(0), np.zeros(0))
    at = _thin(len(counts), points)
    return PrecisionRecallCurve(hits[at] / labels.sum(), hits[at] / counts[at], thresholds[at])


def gain_curve(labels: Array, scores: Array, points: int = 101) -> GainCurve:
    """At `points` equally spaced shares from 0 to 1; linear among equal scores. Empty without a positive.

    The lift at share 0 is that of the highest score.
    """
    counts, hits, _ = _cumulated(labels, scores)
    if not labels.sum():
        return GainCurve(np.zeros(0), np.zeros(0), np.zeros(0))
    share = np.linspace(0.0, 1.0, points)
    gain = np.interp(share, np.append(0.0, counts / len(labels)), np.append(0.0, hits / labels.sum()))
    first = hits[0] / counts[0] * len(labels) / labels.sum()
    return GainCurve(share, gain, np.append(first, gain[1:] / share[1:]))


def reliability(labels: Array, probabilities: Array, bins: int = 15) -> list[ReliabilityBin]:
    """At most `bins` bins of nearly equal mass, by rising probability; equal probabilities share a bin."""
    if not len(labels):
        return []
    bin_of = equal_mass_bins(probabilities, bins)
    return [_bin(labels[bin_of == b], probabilities[bin_of == b]) for b in np.unique(bin_of)]


def _bin(labels: Array, probabilities: Array) -> ReliabilityBin:
    count, positives = len(labels), int(labels.sum())
    low, high = wilson(positives / count, count)
    return ReliabilityBin(
        lowest=float(probabilities.min()),
        highest=float(probabilities.max()),
        count=count,
        positives=positives,
        probability=float(probabilities.mean()),
        rate=positives / count,
        low=low,
        high=high,
    )


def _cumulated(labels: Array, scores: Array) -> tuple[Floats, Floats, Floats]:
    """Examples and positives at or above each distinct score, and the scores, falling."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(scores) else np.zeros(0, dtype=np.intp)
    return (
        np.asarray(ends + 1.0),
        np.cumsum(labels[order], dtype=np.float64)[ends],
        np.asarray(ranked[ends], dtype=np.float64),
    )


def _thin(count: int, points: int) -> Array:
    """At most `points` positions of `count`, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(points, count)).round().astype(np.intp))
