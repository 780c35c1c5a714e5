"""Intervals against slow truths: pairs counted one by one, samples drawn again and again."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from models.evaluation import influence, intervals, measures
from models.evaluation.influence import Linear
from models.evaluation.intervals import Clusters, around, every_row, wilson

Sample = tuple[np.ndarray, np.ndarray, np.ndarray]


def independent(rng: np.random.Generator, count: int, decimals: int = 12) -> Sample:
    """Customers, labels and calibrated probabilities, one row per customer."""
    p = np.round(1.0 / (1.0 + np.exp(-rng.normal(-1.0, 1.2, count))), decimals)
    return every_row(count), (rng.random(count) < p).astype(float), p


def weekly(rng: np.random.Generator, customers: int, weeks: int = 6) -> Sample:
    """The same customers week after week, with nearly the same probability and the very same fate."""
    logit = rng.normal(-1.0, 1.2, customers)
    fate = (rng.random(customers) < 1.0 / (1.0 + np.exp(-logit))).astype(float)
    seen = 1.0 / (1.0 + np.exp(-(logit[:, None] + rng.normal(0.0, 0.1, (customers, weeks)))))
    return np.repeat(np.arange(customers), weeks), np.repeat(fate, weeks), seen.ravel()


def delong_variance(labels: np.ndarray, scores: np.ndarray) -> float:
    """The published formula, pair by pair."""
    positives, negatives = scores[labels == 1], scores[labels == 0]
    wins = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    return wins.mean(axis=1).var(ddof=1) / len(positives) + wins.mean(axis=0).var(ddof=1) / len(negatives)


def test_the_standard_error_of_auc_is_delongs() -> None:
    """With one row per customer and tied scores it equals DeLong's but for the correction of small counts."""
    customers, labels, scores = independent(np.random.default_rng(3), 400, decimals=2)

    error = Clusters(customers).standard_error(influence.of_auc(labels, scores).influence)
    assert error == pytest.approx(math.sqrt(delong_variance(labels, scores)), rel=0.01)


def test_the_difference_of_two_auc_uses_that_they_rank_the_same_rows() -> None:
    """DeLong's variance of a difference, with the covariances of the placements, pair by pair."""
    rng = np.random.default_rng(4)
    customers, labels, one = independent(rng, 500)
    two = one + rng.normal(0.0, 0.1, 500)
    spread = 0.0
    for mine, others in ((1, 0), (0, 1)):
        placements = [
            (s[labels == mine][:, None] > s[labels == others]).mean(axis=1) * (1 if mine else -1) for s in (one, two)
        ]
        spread += np.subtract(*placements).var(ddof=1) / (labels == mine).sum()

    difference = influence.of_auc(labels, one).minus(influence.of_auc(labels, two))
    assert difference.value == pytest.approx(measures.auc(labels, one) - measures.auc(labels, two))
    assert Clusters(customers).standard_error(difference.influence) == pytest.approx(math.sqrt(spread), rel=0.01)


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], Linear]] = {
    "auc": influence.of_auc,
    "average_precision": influence.of_average_precision,
    "log_loss": lambda y, p: influence.of_mean(measures.log_losses(y, p)),
    "brier": lambda y, p: influence.of_mean(np.square(p - y)),
    "precision": lambda y, p: influence.of_precision(y, p, 0.1),
    "recall": lambda y, p: influence.of_recall(y, p, 0.1),
    "lift": lambda y, p: influence.of_lift(y, p, 0.1),
    "ece": lambda y, p: influence.of_ece(y, p**1.5),
}
SHARES = {"auc", "average_precision", "precision", "recall", "ece"}
#: The ECE of a small sample is too large by noise, and what was learned of the bins is taken as known.
COVERED = {"ece": 0.85}


@pytest.mark.parametrize("name", MEASURES)
def test_influences_have_mean_zero(name: str) -> None:
    """Otherwise the sums by customer would not be deviations; ties at the cut included."""
    _, labels, scores = independent(np.random.default_rng(5), 999, decimals=2)

    assert MEASURES[name](labels, scores).influence.mean() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("name", ["auc", "average_precision", "log_loss", "brier"])
def test_an_influence_is_what_an_example_more_would_change(name: str) -> None:
    """Doubling one of 4,000 examples moves a measure by its influence over the count, up to second order.

    Measures with a cut move in steps there; see how often their intervals hold the truth.
    """
    _, labels, scores = independent(np.random.default_rng(6), 4000)
    linear = MEASURES[name](labels, scores)
    chosen = np.random.default_rng(7).choice(4000, 300, replace=False)
    moved = [MEASURES[name](np.append(labels, labels[i]), np.append(scores, scores[i])).value for i in chosen]

    assert (np.array(moved) - linear.value) * 4001 == pytest.approx(linear.influence[chosen], rel=0.02, abs=0.02)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("sample", [independent, weekly], ids=["independent", "weekly"])
def test_intervals_hold_the_truth_as_often_as_they_say(name: str, sample: Callable[..., Sample]) -> None:
    """Of 200 samples at least 91 % of the 95 % intervals hold the value of a million rows, weekly customers too."""
    rng = np.random.default_rng(8)
    _, labels, scores = sample(rng, 1_000_000 if sample is independent else 170_000)
    truth = MEASURES[name](labels, scores).value
    held = 0
    for _ in range(200):
        customers, labels, scores = sample(rng, 600)
        bounds = (0.0, 1.0) if name in SHARES else (0.0, math.inf)
        found = around(MEASURES[name](labels, scores), Clusters(customers), *bounds)
        held += found.low <= truth <= found.high

    assert held / 200 >= COVERED.get(name, 0.91)


def test_rows_of_one_customer_do_not_make_an_interval_tighter() -> None:
    """Ten copies of every row leave the interval as it was; taken as independent they would cut it to a third."""
    customers, labels, scores = independent(np.random.default_rng(9), 500)
    once = around(influence.of_auc(labels, scores), Clusters(customers), 0.0, 1.0)
    labels, scores, customers = np.repeat(labels, 10), np.repeat(scores, 10), np.repeat(customers, 10)
    ten = around(influence.of_auc(labels, scores), Clusters(customers), 0.0, 1.0)
    naive = around(influence.of_auc(labels, scores), Clusters(every_row(5000)), 0.0, 1.0)

    assert (ten.value, ten.low, ten.high) == pytest.approx((once.value, once.low, once.high))
    assert (naive.high - naive.low) * 3 == pytest.approx(once.high - once.low, rel=0.1)


def test_a_perfect_share_still_has_an_interval() -> None:
    """An AUC of 1 on 20 positives has no variation to see, yet .8 could have looked the same."""
    labels = np.array([1.0] * 20 + [0.0] * 80)
    found = around(influence.of_auc(labels, labels), Clusters(every_row(100)), 0.0, 1.0)

    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.8 < found.low < 0.9


def test_wilson_is_the_published_example() -> None:
    """10 of 20 lie between .299 and .701; 0 of 10 between 0 and .278."""
    assert wilson(0.5, 20) == pytest.approx((0.2993, 0.7007), abs=1e-4)
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_one_customer_says_nothing_about_spread() -> None:
    """The interval is as wide as allowed."""
    linear = influence.of_mean(np.array([0.1, 0.3]))
    found = around(linear, Clusters(np.array([7, 7])), 0.0)

    assert (found.low, found.high) == (0.0, math.inf)
    assert intervals.Clusters(np.array([5, 5, 9])).count == 2
