"""The recency rule and the prior against slow truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.churn.forms.prior import INITIAL_PRIOR
from models.churn.forms.rule import CURVE, EDGES_DAYS, SILENCE
from models.churn.prior import Prior
from models.churn.rule import RuleLearner, pool_adjacent_violators
from models.features import FEATURE_NAMES

SHARES = st.floats(0.0, 1.0)
WEIGHTS = st.floats(0.5, 50.0)


def slow_isotonic(values: list[float], weights: list[float]) -> list[float]:
    """Min-max formula: at i, the largest over starts of the smallest over ends of the weighted mean around i."""
    size = len(values)

    def mean(start: int, end: int) -> float:
        part = slice(start, end + 1)
        return sum(v * w for v, w in zip(values[part], weights[part], strict=True)) / sum(weights[part])

    return [max(min(mean(start, end) for end in range(i, size)) for start in range(i + 1)) for i in range(size)]


@given(st.lists(st.tuples(SHARES, WEIGHTS), min_size=1, max_size=8))
def test_pooling_is_isotonic_regression(pairs: list[tuple[float, float]]) -> None:
    """Pool-adjacent-violators agrees with the min-max formula of isotonic regression."""
    values, weights = [v for v, _ in pairs], [w for _, w in pairs]

    assert pool_adjacent_violators(values, weights) == pytest.approx(slow_isotonic(values, weights), abs=1e-12)


def test_each_label_kind_finds_its_silence_features() -> None:
    """The columns that the rule reads exist in the registry."""
    for columns in SILENCE.values():
        assert set(columns) <= set(FEATURE_NAMES)


def test_the_rule_starts_from_the_built_in_curve() -> None:
    """Before any label the table is the curve, rising from 3 to 70 percent."""
    rule = RuleLearner.fresh()

    assert rule.rates == list(CURVE) == sorted(CURVE)
    assert (CURVE[0], CURVE[-1]) == (pytest.approx(0.03), pytest.approx(0.70))


def test_the_rule_learns_each_bins_rate() -> None:
    """With many examples the table comes to the true rate of each bin, whatever the curve said."""
    rng, rule = np.random.default_rng(1), RuleLearner.fresh()
    silences = rng.exponential(30.0, 30_000)
    rates = 0.5 * silences / (silences + 20.0)
    for silence, label in zip(silences.tolist(), (rng.random(30_000) < rates).tolist(), strict=True):
        rule.learn(silence, int(label))
    bins = np.searchsorted(EDGES_DAYS, silences, side="right")
    for at in range(4, 15):
        assert rule.rates[at] == pytest.approx(float(rates[bins == at].mean()), abs=0.06)


def test_a_silence_that_is_not_known_teaches_nothing() -> None:
    """NaN gives the prior and leaves the table alone."""
    rule = RuleLearner.fresh()
    rule.learn(math.nan, 1)

    assert rule == RuleLearner.fresh()
    assert rule.probability(math.nan, 0.4) == 0.4


def test_an_edge_belongs_to_the_bin_right_of_it() -> None:
    """A silence equal to an edge counts as longer, as in the published table."""
    rule = RuleLearner.fresh()

    assert rule.probability(EDGES_DAYS[3], 0.4) == CURVE[4]


def test_the_prior_comes_to_the_rate_and_forgets() -> None:
    """The base rate starts as assumed, follows the data, and follows it again after a change."""
    prior = Prior()
    assert prior.probability == pytest.approx(INITIAL_PRIOR)
    for i in range(40_000):
        prior.learn(int(i % 2 == 0))
    assert prior.probability == pytest.approx(0.5, abs=0.01)
    for _ in range(20_000):
        prior.learn(0)

    assert 0.15 < prior.probability < 0.26


@given(st.lists(st.integers(0, 1), max_size=200))
def test_the_prior_is_a_decayed_mean(labels: list[int]) -> None:
    """The running value equals the formula: weights halving every 20,000 examples, 20 pseudo-examples."""
    prior = Prior()
    for label in labels:
        prior.learn(label)
    weights = [0.5 ** ((len(labels) - 1 - i) / 20_000) for i in range(len(labels))]
    expected = (sum(w * y for w, y in zip(weights, labels, strict=True)) + 20 * INITIAL_PRIOR) / (sum(weights) + 20)

    assert prior.probability == pytest.approx(expected, rel=1e-9)
