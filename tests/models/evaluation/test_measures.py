"""Measures of probabilities against slow truths."""

from __future__ import annotations

import math
import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import evaluation
from models.evaluation import ProgressiveMetrics

PAIRS = st.lists(
    st.tuples(st.integers(0, 1), st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0.0, 1.0))), max_size=40
)
Pairs = list[tuple[int, float]]


def arrays(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    return np.array([y for y, _ in pairs], dtype=np.int64), np.array([p for _, p in pairs], dtype=np.float64)


def same(found: float, expected: float) -> bool:
    return (math.isnan(found) and math.isnan(expected)) or found == pytest.approx(expected, abs=1e-9)


@given(PAIRS)
def test_auc_is_the_share_of_ordered_pairs(pairs: Pairs) -> None:
    """AUC equals counting all pairs of a positive and a negative, ties as half."""
    positives, negatives = [p for y, p in pairs if y], [p for y, p in pairs if not y]
    wins = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positives for n in negatives]

    assert same(evaluation.auc(*arrays(pairs)), sum(wins) / len(wins) if wins else math.nan)


@given(PAIRS)
def test_average_precision_is_the_mean_precision_of_positives(pairs: Pairs) -> None:
    """Average precision equals the mean, over positives, of the precision among all scores at least as high."""
    precisions = []
    for y, p in pairs:
        if y:
            above = [other for other, q in pairs if q >= p]
            precisions.append(sum(above) / len(above))
    expected = sum(precisions) / len(precisions) if precisions else math.nan

    assert same(evaluation.average_precision(*arrays(pairs)), expected)


@given(PAIRS)
def test_log_loss_and_brier_are_plain_means(pairs: Pairs) -> None:
    """Both equal the sum over examples, with probabilities kept 1e-9 from 0 and 1 in the log loss."""
    count = len(pairs)
    losses = [-math.log(min(max(p if y else 1 - p, 1e-9), 1 - 1e-9)) for y, p in pairs]
    labels, probabilities = arrays(pairs)

    found = evaluation.log_loss(labels, probabilities)
    assert same(found, sum(losses) / count if count else math.nan) or found == pytest.approx(
        sum(losses) / count, rel=1e-6
    )
    squares = sum((p - y) ** 2 for y, p in pairs)
    assert same(evaluation.brier(labels, probabilities), squares / count if count else math.nan)


@given(PAIRS)
def test_ece_is_the_weighted_gap_of_equal_bins(pairs: Pairs) -> None:
    """ECE equals putting each distinct probability into the bin of its middle rank, and weighing each bin's gap."""
    bins: dict[int, list[tuple[int, float]]] = {}
    for y, p in pairs:
        below, level = sum(q < p for _, q in pairs), sum(q == p for _, q in pairs)
        bins.setdefault(int((below + level / 2) / len(pairs) * 15), []).append((y, p))
    total = sum(abs(sum(p for _, p in part) - sum(y for y, _ in part)) for part in bins.values())

    assert same(evaluation.ece(*arrays(pairs)), total / len(pairs) if pairs else math.nan)


@given(PAIRS, st.randoms(use_true_random=False), st.sampled_from([1, 3, 0.1, 0.5, 1.0]))
def test_no_measure_depends_on_the_order_of_the_examples(pairs: Pairs, chance: random.Random, top: float) -> None:
    """Shuffled examples give the same figures, however many scores are equal."""
    shuffled = list(pairs)
    chance.shuffle(shuffled)
    measures = [
        evaluation.auc,
        evaluation.average_precision,
        evaluation.log_loss,
        evaluation.brier,
        evaluation.ece,
        lambda y, p: evaluation.precision_at(y, p, top),
        lambda y, p: evaluation.recall_at(y, p, top),
        lambda y, p: evaluation.lift_at(y, p, top),
    ]

    assert all(same(measure(*arrays(pairs)), measure(*arrays(shuffled))) for measure in measures)


@given(PAIRS.filter(bool), st.integers(1, 50))
def test_precision_and_recall_at_the_top_are_means_over_the_ways_to_break_ties(pairs: Pairs, top: int) -> None:
    """With equal scores in both orders, positives first and last, the figure lies between, and is theirs if equal."""
    labels, scores = arrays(pairs)
    size = min(top, len(pairs))
    hits = [
        sum(y for y, _ in sorted(pairs, key=lambda pair: (-pair[1], sign * pair[0]))[:size]) for sign in (1, -1)
    ]  # the fewest positives that ties allow, then the most

    found = evaluation.precision_at(labels, scores, top) * size
    assert min(hits) - 1e-9 <= found <= max(hits) + 1e-9
    if labels.any():
        assert evaluation.recall_at(labels, scores, top) == pytest.approx(found / labels.sum())


def test_lift_is_the_rate_at_the_top_over_the_rate_of_all() -> None:
    """Two positives of four in the top quarter of twenty with four positives: lift 2.5 at 0.2."""
    labels = np.array([1, 1, 0, 0] + [0] * 14 + [1, 1])
    scores = np.linspace(1.0, 0.0, 20)

    assert evaluation.lift_at(labels, scores, 0.2) == pytest.approx(2.5)
    assert evaluation.lift_at(labels, scores, 4) == pytest.approx(2.5)
    assert evaluation.top_decile_lift(labels, scores) == pytest.approx(5.0)
    assert evaluation.lift_at(labels, scores, 1.0) == pytest.approx(1.0)
    assert math.isnan(evaluation.lift_at(labels * 0, scores, 0.2))
    with pytest.raises(ValueError, match="share of 0"):
        evaluation.lift_at(labels, scores, 0.0)
    with pytest.raises(ValueError, match="top of 0 examples"):
        evaluation.precision_at(labels, scores, 0)


def progressive(pairs: Pairs) -> ProgressiveMetrics:
    metrics = ProgressiveMetrics()
    for y, p in pairs:
        metrics.add(y, p)
    return metrics


@given(PAIRS)
def test_progressive_sums_equal_the_exact_measures(pairs: Pairs) -> None:
    """Count, positives, log loss and Brier score are exact; each example's loss is handed back."""
    labels, probabilities = arrays(pairs)
    metrics = ProgressiveMetrics()
    losses = [metrics.add(y, p) for y, p in pairs]
    summary = metrics.summary()

    assert (summary["count"], summary["positives"]) == (len(pairs), labels.sum())
    if pairs:
        assert sum(losses) / len(pairs) == pytest.approx(summary["log_loss"], rel=1e-6)
        assert summary["log_loss"] == pytest.approx(evaluation.log_loss(labels, probabilities), rel=1e-6)
        assert summary["brier"] == pytest.approx(evaluation.brier(labels, probabilities))


@given(PAIRS)
def test_progressive_auc_is_off_by_no_more_than_ties_within_a_bin(pairs: Pairs) -> None:
    """The binned AUC differs from the exact one by at most half the share of pairs that share a bin."""
    labels, probabilities = arrays(pairs)
    metrics = progressive(pairs)
    if not 0 < labels.sum() < len(labels):
        assert "auc" not in metrics.summary()
        return
    shared = sum(a * b for a, b in zip(metrics.positives, metrics.negatives, strict=True))
    allowed = shared / 2 / labels.sum() / (len(labels) - labels.sum()) + 1e-12

    assert abs(metrics.summary()["auc"] - evaluation.auc(labels, probabilities)) <= allowed


def test_progressive_figures_come_close_on_many_examples() -> None:
    """On 20,000 skewed probabilities AUC is within 0.001 and ECE within 0.003 of the exact ones."""
    rng = np.random.default_rng(5)
    probabilities = 1 / (1 + np.exp(-rng.normal(-2.0, 1.5, 20_000)))
    labels = (rng.random(20_000) < probabilities**1.3).astype(int)
    summary = progressive(list(zip(labels.tolist(), probabilities.tolist(), strict=True))).summary()

    assert summary["auc"] == pytest.approx(evaluation.auc(labels, probabilities), abs=1e-3)
    assert summary["ece"] == pytest.approx(evaluation.ece(labels, probabilities), abs=3e-3)


@given(PAIRS, PAIRS)
def test_merging_is_as_if_all_were_seen_by_one(left: Pairs, right: Pairs) -> None:
    """Counts merge exactly, sums but for the rounding of their order; neither side changes."""
    a, b = progressive(left), progressive(right)
    before = msgspec.to_builtins(a)
    merged, together = a.merge(b), progressive(left + right)

    assert (merged.positives, merged.negatives) == (together.positives, together.negatives)
    assert merged.summary() == pytest.approx(together.summary())
    assert msgspec.to_builtins(a) == before


@given(PAIRS)
def test_progressive_metrics_are_plain_data(pairs: Pairs) -> None:
    """Through JSON and back they are equal."""
    metrics = progressive(pairs)

    assert msgspec.json.decode(msgspec.json.encode(metrics), type=ProgressiveMetrics) == metrics
