"""A streaming version of the measures, in constant memory, that can be stored and merged."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from models.evaluation.measures import EPSILON, Array

_BINS = 400
_LOGIT_RANGE = 10.0
_PER_LOGIT = _BINS / (2.0 * _LOGIT_RANGE)


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
