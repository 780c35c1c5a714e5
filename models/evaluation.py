"""How good probabilities are: exact measures on arrays, and a streaming version of them that can be merged.

All take labels of 0 and 1 and probabilities between 0 and 1. Where a measure is not defined (no example, or only
one class where both are needed) the result is NaN.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Probabilities are kept this far from 0 and 1 in the log loss.
EPSILON = 1e-9
_BINS = 400
_LOGIT_RANGE = 10.0
_PER_LOGIT = _BINS / (2.0 * _LOGIT_RANGE)


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


def log_loss(labels: Array, probabilities: Array) -> float:
    """Mean negative log-likelihood in nats."""
    if not len(labels):
        return math.nan
    p = np.clip(np.asarray(probabilities, dtype=np.float64), EPSILON, 1.0 - EPSILON)
    return float(-np.where(labels == 1, np.log(p), np.log1p(-p)).mean())


def brier(labels: Array, probabilities: Array) -> float:
    """Mean squared difference of label and probability."""
    return float(np.square(probabilities - labels).mean()) if len(labels) else math.nan


def ece(labels: Array, probabilities: Array, bins: int = 15) -> float:
    """Expected calibration error over `bins` bins of equal mass: the mean distance of mean probability and rate."""
    if not len(labels):
        return math.nan
    order = np.argsort(probabilities, kind="stable")
    gap = np.asarray(probabilities - labels, dtype=np.float64)[order]
    parts = np.array_split(gap, min(bins, len(gap)))
    return float(sum(abs(part.sum()) for part in parts) / len(gap))


def lift_at(labels: Array, scores: Array, share: float) -> float:
    """Rate of positives among the `share` (0 to 1] of highest scores, over the overall rate; ties keep their order."""
    if not 0.0 < share <= 1.0:
        raise ValueError(f"lift at a share of {share} (allowed: above 0, up to 1)")
    if not labels.sum():
        return math.nan
    top = np.argsort(-scores, kind="stable")[: max(1, round(share * len(scores)))]
    return float(labels[top].mean() / labels.mean())


class ProgressiveMetrics(msgspec.Struct, forbid_unknown_fields=True):
    """The same measures in constant memory, one example at a time; plain data that can be stored and merged.

    AUC and ECE come from 400 bins of log-odds between -10 and 10, so both are as exact as bins of .05 log-odds allow;
    log loss and Brier score are exact sums.
    """

    negatives: list[int] = msgspec.field(default_factory=lambda: [0] * _BINS)
    positives: list[int] = msgspec.field(default_factory=lambda: [0] * _BINS)
    sums: list[float] = msgspec.field(default_factory=lambda: [0.0] * _BINS)
    log_loss_sum: float = 0.0
    brier_sum: float = 0.0

    def add(self, label: int, probability: float) -> float:
        """Count one example; returns its log loss."""
        p = EPSILON if probability < EPSILON else min(probability, 1.0 - EPSILON)
        at = int((math.log(p / (1.0 - p)) + _LOGIT_RANGE) * _PER_LOGIT)
        at = 0 if at < 0 else _BINS - 1 if at >= _BINS else at
        if label:
            self.positives[at] += 1
            loss = -math.log(p)
        else:
            self.negatives[at] += 1
            loss = -math.log1p(-p)
        self.sums[at] += probability
        self.log_loss_sum += loss
        self.brier_sum += (probability - label) ** 2
        return loss

    def merge(self, other: ProgressiveMetrics) -> ProgressiveMetrics:
        """The metrics of both sets of examples together."""
        return ProgressiveMetrics(
            negatives=[a + b for a, b in zip(self.negatives, other.negatives, strict=True)],
            positives=[a + b for a, b in zip(self.positives, other.positives, strict=True)],
            sums=[a + b for a, b in zip(self.sums, other.sums, strict=True)],
            log_loss_sum=self.log_loss_sum + other.log_loss_sum,
            brier_sum=self.brier_sum + other.brier_sum,
        )

    def summary(self) -> dict[str, float]:
        """count, positives, auc, log_loss, brier and ece; those that are not defined yet are left out."""
        negatives, positives = np.array(self.negatives), np.array(self.positives)
        count = int(negatives.sum() + positives.sum())
        if not count:
            return {"count": 0, "positives": 0}
        found = {
            "count": count,
            "positives": int(positives.sum()),
            "log_loss": self.log_loss_sum / count,
            "brier": self.brier_sum / count,
            "ece": _binned_ece(negatives + positives, positives, np.array(self.sums)),
        }
        if positives.any() and negatives.any():
            ranks = np.cumsum(negatives) - negatives / 2.0
            found["auc"] = float((positives * ranks).sum() / positives.sum() / negatives.sum())
        return found


def _binned_ece(counts: Array, positives: Array, sums: Array, groups: int = 15) -> float:
    """ECE over neighbouring bins joined to groups of nearly equal mass."""
    middle = (np.cumsum(counts) - counts / 2.0) / counts.sum()
    group = np.minimum((middle * groups).astype(np.intp), groups - 1)
    gaps = np.bincount(group, weights=sums - positives, minlength=groups)
    return float(np.abs(gaps).sum() / counts.sum())
