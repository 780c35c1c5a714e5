"""The league: who is not better is hardly ever promoted, who is better soon is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from models.churn.league import League, PairTest, in_sample

ERROR, BLOCK = 0.05, 5
HORIZON_DAYS, EVERY_DAYS, DAY_S = 30.0, 7.0, 86_400.0


def losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return -np.where(labels == 1, np.log(probabilities), np.log1p(-probabilities))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-logits))


def weekly(seed: int, weeks: int, customers: int, noise: tuple[float, ...]) -> Iterator[tuple[float, np.ndarray]]:
    """Week by week the losses (models x customers) of models that misjudge each customer by a lasting error.

    The labels of a customer's next four weeks are nearly the same ones, and so are the errors of a model on it.
    """
    rng = np.random.default_rng(seed)
    law = rng.normal(-1.5, 1.0, customers)
    wrong = [rng.normal(0.0, size, customers) for size in noise]
    mean_days = -HORIZON_DAYS / np.log1p(-sigmoid(law))
    leaves = rng.exponential(mean_days)
    for week in range(weeks):
        now = 7.0 * week
        leaves = np.where(leaves <= now, now + rng.exponential(mean_days), leaves)
        labels = (leaves <= now + HORIZON_DAYS).astype(int)
        yield now, np.array([losses(sigmoid(law + error), labels) for error in wrong])


def rows_until_promoted(
    seed: int, noise: tuple[float, ...], weeks: int = 100, customers: int = 150, *, thinned: bool = True
) -> tuple[str | None, int]:
    """Who is promoted against the model with the first of `noise`, and after how many predictions in all."""
    names = [f"m{number}" for number in range(1, len(noise))]
    league, rows = League.of("m0", names), 0
    for now, found in weekly(seed, weeks, customers, noise):
        for customer in range(customers):
            rows += 1
            as_of = (now + customer % 7 / 7.0) * DAY_S
            if thinned and not in_sample(f"c{customer}", as_of, HORIZON_DAYS, EVERY_DAYS):
                continue
            for number, name in enumerate(names, start=1):
                league.tests[name].add(float(found[0, customer] - found[number, customer]), BLOCK)
        if (winner := league.winner(ERROR)) is not None:
            return winner, rows
    return None, rows


def test_equal_skill_is_hardly_ever_promoted() -> None:
    """Of 100 leagues of three equal challengers, 15,000 dependent predictions each, at most 5 promote one."""
    false = sum(rows_until_promoted(seed, (0.7,) * 4)[0] is not None for seed in range(100))

    assert false <= 100 * ERROR


def test_overlapping_predictions_would_break_the_bound() -> None:
    """Comparing all predictions of a customer, whose outcomes overlap, promotes equal challengers far too often."""
    false = sum(rows_until_promoted(seed, (0.7, 0.7), thinned=False)[0] is not None for seed in range(40))

    assert false > 40 * ERROR * 2


def test_fat_tails_do_not_break_the_bound() -> None:
    """With independent fair differences, rare and large on either side, the bound holds over 10,000 examples."""
    rng, promoted = np.random.default_rng(3), 0
    for number in range(100):
        rare = rng.random(10_000) < 0.02
        drawn = np.where(rare, -2.45, 0.05) * (1 if number % 2 else -1)
        league = League.of("a", ["b"])
        for difference in drawn.tolist():
            league.tests["b"].add(difference, BLOCK)
            if league.winner(ERROR):
                promoted += 1
                break

    assert promoted <= 100 * ERROR


def test_a_better_challenger_is_promoted_soon() -> None:
    """One better by .065 nats within 15,000 predictions (2,800 compared), mostly 6,000; the worse one never."""
    found = [rows_until_promoted(seed, (1.0, 0.3, 1.4), weeks=200) for seed in range(20)]

    assert [name for name, _ in found] == ["m1"] * 20
    assert max(rows for _, rows in found) <= 15_000
    assert np.median([rows for _, rows in found]) <= 6_000


def test_a_champion_that_rots_loses_its_place() -> None:
    """After 20,000 compared examples of a lead, 3,000 with the lead turned round are enough."""
    rng = np.random.default_rng(5)
    league = League.of("logistic", ["rule"])
    for difference in rng.normal(-0.1, 0.3, 20_000).tolist():
        league.tests["rule"].add(difference, BLOCK)

    assert league.tests["rule"].capital == league.tests["rule"].begun_with
    for difference in rng.normal(0.05, 0.3, 3_000).tolist():
        league.tests["rule"].add(difference, BLOCK)
    assert league.winner(ERROR) == "rule"


def test_capital_of_a_reign_is_one() -> None:
    """However many join later, all that is ever handed out adds up to 1 at most."""
    league = League.of("rule", ["a", "b", "c"])
    for number in range(30):
        league.join(f"fresh-{number}")
        league.leave(f"fresh-{number - 1}")
    handed_out = 0.8 + sum(0.2 / 2**number for number in range(1, 31))

    assert sum(league.tests[name].capital for name in "abc") == pytest.approx(0.8)
    assert league.reserve + handed_out == pytest.approx(1.0)


def test_evidence_is_the_way_to_promotion() -> None:
    """0 at the beginning and behind it, 1 at the bound, in equal steps of the capital's logarithm."""
    league = League.of("rule", ["a"])
    found = []
    for capital in (0.1, 0.8, 4.0, 20.0, 1e9):
        league.tests["a"].capital = capital
        found.append(league.evidence("a", ERROR))

    assert found == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0])
    assert league.winner(ERROR) == "a"


def test_stored_as_json_it_goes_on_as_if_undisturbed() -> None:
    """At any point within a block."""
    drawn = np.random.default_rng(8).normal(0.02, 0.3, 500).tolist()
    once = League.of("rule", ["a"])
    for difference in drawn:
        once.tests["a"].add(difference, BLOCK)
    twice = League.of("rule", ["a"])
    for difference in drawn:
        twice.tests["a"].add(difference, BLOCK)
        twice = msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(twice))), League)

    assert msgspec.to_builtins(twice) == msgspec.to_builtins(once)
    assert once.tests["a"].capital != once.tests["a"].begun_with


@pytest.mark.parametrize(("horizon", "every"), [(30.0, 7.0), (7.0, 7.0), (90.0, 1.0), (1.5, 30.0)])
def test_windows_of_compared_predictions_never_overlap(horizon: float, every: float) -> None:
    """Those of one customer are a horizon or more apart, and each has the same chance."""
    rng = np.random.default_rng(2)
    counted = total = 0
    for customer in range(200):
        times = np.cumsum(rng.uniform(every, 1.5 * every, 100)) * DAY_S
        chosen = times[[in_sample(f"c{customer}", float(at), horizon, every) for at in times]]
        counted, total = counted + len(chosen), total + len(times)

        assert not len(chosen) or np.diff(chosen).min(initial=np.inf) >= horizon * DAY_S
    assert counted / total == pytest.approx(every / (horizon + every), rel=0.1)


def test_an_absurd_difference_is_cut_off() -> None:
    """One absurd loss cannot decide the test."""
    test = PairTest(0.8, 0.8)
    test.add(1e9, 1)

    assert test.gain == 0.8
