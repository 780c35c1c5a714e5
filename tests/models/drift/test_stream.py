"""Detectors on labels and losses, against River's and on the SEA concepts."""

from __future__ import annotations

import math
import pickle

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import drift, linear_model, optim, preprocessing
from river.datasets import synth

from models.drift import Change, ChangeDetector, PageHinkley
from models.drift.stream import Mode

MODES: tuple[Mode, ...] = ("up", "down", "both")
#: Rows of the SEA stream at which the concept changes, and how many later at most it is noticed.
CHANGES = (10_000, 20_000, 30_000)
WITHIN = 200


@given(
    st.lists(st.floats(-10, 10), max_size=200),
    st.sampled_from(MODES),
    st.sampled_from([0.5, 5.0]),
    st.sampled_from([1.0, 0.99]),
)
def test_page_hinkley_is_rivers(values: list[float], mode: Mode, threshold: float, alpha: float) -> None:
    """The same findings at the same values, with the same sums bit for bit."""
    theirs = drift.PageHinkley(min_instances=5, delta=0.1, threshold=threshold, alpha=alpha, mode=mode)
    ours = PageHinkley(least=5, delta=0.1, threshold=threshold, alpha=alpha, mode=mode)
    for value in values:
        theirs.update(value)

        assert ours.update(value) == theirs.drift_detected
        assert (ours.mean, ours.increase, ours.decrease) == (
            theirs._x_mean.get(),
            theirs._sum_increase,
            theirs._sum_decrease,
        )


def test_page_hinkley_is_rivers_on_a_long_stream_of_changes() -> None:
    """20,000 values whose mean jumps now and then: dozens of findings, all at the same place."""
    rng = np.random.default_rng(1)
    values = (rng.normal(size=20_000) + np.repeat(rng.normal(0.0, 1.5, 40), 500)).tolist()
    theirs, ours = drift.PageHinkley(threshold=30.0), PageHinkley(threshold=30.0)
    found: tuple[list[int], list[int]] = ([], [])
    for i, value in enumerate(values):
        theirs.update(value)
        if theirs.drift_detected:
            found[0].append(i)
        if ours.update(value):
            found[1].append(i)

    assert found[0] == found[1]
    assert len(found[0]) > 20


def test_adwin_has_no_plain_state() -> None:
    """Why ADWIN is not part of a checkpoint: its windows live in compiled code, without names, for pickle only."""
    adwin = drift.ADWIN()
    for value in range(100):
        adwin.update(value % 2)

    assert not hasattr(adwin._helper, "__dict__")
    assert isinstance(pickle.dumps(adwin._helper), bytes)


def detector(mode: Mode, overlap: float = 1.0) -> ChangeDetector:
    return ChangeDetector(name="x", mode=mode, alarms_per_month=0.5, examples_per_month=10_000, overlap=overlap)


def draw(kind: str, rng: np.random.Generator, count: int) -> np.ndarray:
    if kind == "normal":
        return rng.normal(size=count)
    if kind == "labels":
        return (rng.random(count) < 0.1).astype(float)
    p = 1.0 / (1.0 + np.exp(-rng.normal(-1.5, 1.2, count)))
    return -np.where(rng.random(count) < p, np.log(p), np.log1p(-p))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["normal", "labels", "losses"])
def test_false_alarms_stay_within_the_budget(kind: str, mode: Mode) -> None:
    """Half an alarm per 10,000 examples on 300,000 stationary ones: 15 are expected, 23 is two standard errors more."""
    one = detector(mode)
    alarms = sum(one.update(value) is not None for value in draw(kind, np.random.default_rng(2), 300_000).tolist())

    assert alarms <= 23


def test_examples_that_repeat_a_customer_need_the_overlap() -> None:
    """Where each label comes four times, the budget is kept with an overlap of 4, and broken without."""
    values = np.repeat(draw("labels", np.random.default_rng(3), 60_000), 4).tolist()
    alarms = {}
    for overlap in (1.0, 4.0):
        one = detector("both", overlap)
        alarms[overlap] = sum(one.update(value) is not None for value in values)

    assert alarms[4.0] <= 12 + 7 < alarms[1.0]


@pytest.mark.parametrize(("rate", "rose"), [(0.2, True), (0.03, False)])
def test_a_changed_rate_of_leavers_is_found_and_dated(rate: float, rose: bool) -> None:
    """From .1 to .2 or .03 after 5,000 examples: found within 500, and dated within 200."""
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.random(5000) < 0.1, rng.random(2000) < rate]).astype(float).tolist()
    one = detector("both")
    found = [(i, change) for i, value in enumerate(values) if (change := one.update(value))]

    at, change = found[0]
    assert 5000 <= at < 5500
    assert abs(at - change.recent - 5000) < 200
    assert change.rose == rose
    assert change.before == pytest.approx(0.1, abs=0.02)
    assert change.after == pytest.approx(rate, abs=0.06)


@pytest.mark.parametrize("start", [0.0, 0.1, 1.0])
def test_values_that_never_vary_are_no_change(start: float) -> None:
    """The first thousand labels may all be 0; what comes then is a change."""
    one = detector("both")

    assert not any(one.update(start) for _ in range(1000))
    assert any(one.update(value) for value in (np.random.default_rng(6).random(1000) < 0.5).astype(float).tolist())


def test_a_stored_detector_goes_on_as_if_never_stopped() -> None:
    """Through JSON at every 700th value: the same changes."""
    rng = np.random.default_rng(5)
    values = (rng.normal(size=6000) + np.repeat([0.0, 1.0, 0.0], 2000)).tolist()
    one, other = detector("both"), detector("both")
    changes: list[Change] = []
    for i, value in enumerate(values):
        if i % 700 == 0:
            other = msgspec.json.decode(msgspec.json.encode(other), type=ChangeDetector)
        change = one.update(value)
        assert change == other.update(value)
        changes += [change] if change else []

    assert [change.rose for change in changes] == [True, False]
    assert msgspec.to_builtins(one) == msgspec.to_builtins(other)


def rises(seed: int, changes: tuple[int, ...], rows: int) -> list[int]:
    """Rows at which the loss of an online logistic regression on SEA was found to have risen."""
    streams = [iter(synth.SEA(variant=variant, seed=10 * seed + variant)) for variant in (0, 3, 2, 1)]
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.02))
    one, found = detector("both"), []
    for row in range(rows):
        x, y = next(streams[sum(row >= change for change in changes)])
        p = min(max(model.predict_proba_one(x)[True], 1e-6), 1.0 - 1e-6)
        change = one.update(-math.log(p if y else 1.0 - p))
        if change and change.rose:
            found.append(row)
        model.learn_one(x, y)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_every_change_of_the_sea_concept_is_found(seed: int) -> None:
    """Each of three changes within 200 rows, and no other rise in 40,000 rows (the budget allows two)."""
    found = rises(seed, CHANGES, 40_000)

    assert [sum(change <= row < change + WITHIN for row in found) for change in CHANGES] == [1, 1, 1]
    assert len(found) == 3


def test_a_concept_that_stays_raises_no_alarm_beyond_the_budget() -> None:
    """At most two rises in 40,000 rows of one SEA concept."""
    assert len(rises(7, (), 40_000)) <= 2
