"""How good probabilities are: exact measures on arrays.

All take labels of 0 and 1 and scores or probabilities of the same length. Where a measure is not defined (no
example, or only one class where both are needed) the result is NaN. None depends on the order of the examples:
equal scores are taken together, and where a cut falls among them each of them counts by the share that is in.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

#: Probabilities are kept this far from 0 and 1 in the log loss.
EPSILON = 1e-9


def auc(labels: Array, scores: Array) -> float:
    """The chance that a positive has a higher score than a negative; ties count half."""
    positives, negatives = scores[labels == 1], np.sort(scores[labels == 0])
    if not len(positives) or not len(negatives):
        return math.nan
    below = np.searchsorted(negatives, positives, side="left")
    not_above = np.searchsorted(negatives, positives, side="right")
    return float((below + not_above).sum()) / 2.0 / len(positives) / len(negatives)


def average_precision(labels: Array, scores: Array) -> float:
    """Mean precision over the positives, examples of equal score taken together (no interpolation)."""
    positives = int(labels.sum())
    if not positives:
        return math.nan
    order = np.argsort(-scores, kind="stable")
    hits, ranked = np.cumsum(labels[order]), scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    new_hits = np.diff(hits[ends], prepend=0)
    return float((new_hits * hits[ends] / (ends + 1)).sum() / positives)


def log_losses(labels: Array, probabilities: Array) -> Floats:
    """Negative log-likelihood of each example, in nats."""
    p = np.clip(np.asarray(probabilities, dtype=np.float64), EPSILON, 1.0 - EPSILON)
    return -np.where(labels == 1, np.log(p), np.log1p(-p))


def log_loss(labels: Array, probabilities: Array) -> float:
    """Mean negative log-likelihood in nats."""
    return float(log_losses(labels, probabilities).mean()) if len(labels) else math.nan


def brier(labels: Array, probabilities: Array) -> float:
    """Mean squared difference of label and probability."""
    return float(np.square(probabilities - labels).mean()) if len(labels) else math.nan


def ece(labels: Array, probabilities: Array, bins: int = 15) -> float:
    """Expected calibration error over `bins` bins of equal mass: the mean distance of mean probability and rate."""
    if not len(labels):
        return math.nan
    bin_of = equal_mass_bins(probabilities, bins)
    gaps = np.bincount(bin_of, weights=np.asarray(probabilities - labels, dtype=np.float64))
    return float(np.abs(gaps).sum() / len(labels))


def equal_mass_bins(scores: Array, bins: int) -> npt.NDArray[np.intp]:
    """The bin (0 to `bins` - 1, by rising score) of each example; equal scores share one, so bins may be empty."""
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2.0
    return np.minimum((middle / max(len(scores), 1) * bins).astype(np.intp), bins - 1)[group]


def in_top(scores: Array, top: float) -> Floats:
    """How much of each example is among the `top` of highest scores: 1, 0, or a share where equal scores are cut.

    `top` is a number of examples when it is an int, a share of all (above 0, up to 1) when it is a float.

    Raises
    ------
    ValueError
        When `top` is not allowed.
    """
    size = top_size(len(scores), top)
    if not len(scores):
        return np.zeros(0)
    cut = np.partition(scores, len(scores) - size)[len(scores) - size]
    above, level = scores > cut, scores == cut
    return np.asarray(above + level * ((size - above.sum()) / level.sum()), dtype=np.float64)


def top_size(count: int, top: float) -> int:
    """Number of examples that `top` stands for, out of `count`; see `in_top`."""
    if isinstance(top, (int, np.integer)):
        if top < 1:
            raise ValueError(f"top of {top} examples (allowed: 1 or more)")
        return min(int(top), count)
    if not 0.0 < top <= 1.0:
        raise ValueError(f"top at a share of {top} (allowed: above 0, up to 1)")
    return min(max(1, round(top * count)), count)


def precision_at(labels: Array, scores: Array, top: float) -> float:
    """Rate of positives among the `top` (see `in_top`) of highest scores."""
    chosen = in_top(scores, top)
    return float((chosen * labels).sum() / chosen.sum()) if len(labels) else math.nan


def recall_at(labels: Array, scores: Array, top: float) -> float:
    """Share of all positives that are among the `top` (see `in_top`) of highest scores."""
    chosen = in_top(scores, top)
    return float((chosen * labels).sum() / labels.sum()) if labels.sum() else math.nan


def lift_at(labels: Array, scores: Array, top: float) -> float:
    """Rate of positives among the `top` (see `in_top`) of highest scores, over the overall rate."""
    found = precision_at(labels, scores, top)
    return float(found / labels.mean()) if labels.sum() else math.nan


def top_decile_lift(labels: Array, scores: Array) -> float:
    """`lift_at` the tenth of highest scores."""
    return lift_at(labels, scores, 0.1)
