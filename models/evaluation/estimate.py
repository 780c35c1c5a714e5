"""How good probabilities should turn out to be, before any label is known.

Confidence-based performance estimation (CBPE), as published by NannyML: if probabilities are calibrated, they say by
themselves how often each of them will be right, so every measure has an expected value. The estimate is as good as the
calibration and blind to a change of what the features mean; so it is told beside the realised measure, and a realised
value outside the interval says that the probabilities are not calibrated (any more).
"""

from __future__ import annotations

import math

import numpy as np

from models.evaluation.intervals import Z95, Clusters, Interval
from models.evaluation.measures import EPSILON, Array, Floats, in_top


def estimate(
    customers: Array, probabilities: Array, scores: Array | None = None, top: float = 0.1
) -> dict[str, Interval]:
    """Expected `auc`, `log_loss`, `brier`, `rate`, `precision_at_top`, `recall_at_top` and `lift_at_top`.

    Labels are taken to be drawn with the calibrated `probabilities`; `scores` is what is measured, if it is not the
    probabilities themselves (a rule's, an earlier model's). The intervals are where the realised measures of the same
    rows should lie. The labels of one customer are taken to depend on each other as much as they can, so that they are
    rather too wide than too tight. Without rows, and without any chance of both classes, the answer is empty.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    said = p if scores is None else np.asarray(scores, dtype=np.float64)
    positives, negatives = p.sum(), (1.0 - p).sum()
    if not len(p) or not positives or not negatives:
        return {}
    clusters = Clusters(customers)
    q, chosen = np.clip(said, EPSILON, 1.0 - EPSILON), in_top(said, top)
    area, moved = _auc(p, said)
    hits = (chosen * p).sum()
    precision, recall, rate = hits / chosen.sum(), hits / positives, p.mean()

    def interval(value: float, by_label: Floats, low: float = 0.0, high: float = math.inf) -> Interval:
        """`by_label` is how much the measure grows when that row's label is 1 instead of 0."""
        spread = Z95 * math.sqrt(float(np.square(clusters.sums(np.sqrt(p * (1.0 - p)) * np.abs(by_label))).sum()))
        return Interval(float(value), max(low, float(value - spread)), min(high, float(value + spread)))

    each = 1.0 / len(p)
    losses, squares = p * -np.log(q) + (1.0 - p) * -np.log1p(-q), p * (1.0 - said) ** 2 + (1.0 - p) * said**2
    return {
        "auc": interval(area, moved, 0.0, 1.0),
        "log_loss": interval(losses.mean(), each * (np.log1p(-q) - np.log(q))),
        "brier": interval(squares.mean(), each * (1.0 - 2.0 * said)),
        "rate": interval(rate, np.full(len(p), each), 0.0, 1.0),
        "precision_at_top": interval(precision, chosen / chosen.sum(), 0.0, 1.0),
        "recall_at_top": interval(recall, (chosen - recall) / positives, 0.0, 1.0),
        "lift_at_top": interval(precision / rate, (chosen / chosen.sum() - precision * each / rate) / rate),
    }


def _auc(p: Floats, scores: Floats) -> tuple[float, Floats]:
    """The AUC with every row counted as a positive by p and as a negative by 1 - p, and how each label would move it.

    A row is not paired with itself: it is one or the other.
    """
    _, group = np.unique(scores, return_inverse=True)
    up, down = np.bincount(group, weights=p), np.bincount(group, weights=1.0 - p)
    below = (np.cumsum(down) - down / 2.0)[group] - (1.0 - p) / 2.0
    above = (up.sum() - np.cumsum(up) + up / 2.0)[group] - p / 2.0
    pairs = p.sum() * (1.0 - p).sum() - (p * (1.0 - p)).sum()
    area = float((p * below).sum() / pairs) if pairs > 0.0 else math.nan
    positives, negatives = p.sum(), (1.0 - p).sum()
    return area, (below - above) / (positives * negatives) - area * (1.0 / positives - 1.0 / negatives)
