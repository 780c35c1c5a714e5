"""The comparison of models: its measures, its shuffled control, and one small pass."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from models.evaluation import auc, log_loss
from models.records import Example
from models.settings import LabelSettings
from streams.sources.registry import open_sources
from tests.bench.models.__main__ import main
from tests.bench.models.compare import Judged, differences
from tests.bench.models.history import heard, live, told_instead
from tests.bench.models.run import page
from tests.bench.report import Table
from tests.models.churn.samples import examples


def world(seed: int = 4) -> tuple[Any, ...]:
    """Two cut-offs of 300 customers whose labels go together, a good predictor and a noisier one."""
    rng = np.random.default_rng(seed)
    customers, cutoff = np.tile(np.arange(300), 2), np.repeat([7, 14], 300)
    trait = rng.normal(size=300)[customers]
    label = (rng.random(600) < 1 / (1 + np.exp(1 - 1.5 * trait))).astype(np.int8)
    return label, customers, cutoff, 1 / (1 + np.exp(1 - 1.5 * trait)), 1 / (1 + np.exp(1 - rng.normal(trait, 1.5)))


def test_measures_are_means_over_cutoffs() -> None:
    """Every cut-off counts alike, whatever its rows."""
    label, _, cutoff, good, _ = world()
    cutoff[:100] = 0
    parts = [cutoff == day for day in (0, 7, 14)]
    judged = Judged(label, good, cutoff)

    assert judged.auc.value == pytest.approx(np.mean([auc(label[rows], good[rows]) for rows in parts]))
    assert judged.log_loss.value == pytest.approx(np.mean([log_loss(label[rows], good[rows]) for rows in parts]))


def test_differences_are_as_sure_as_customers_drawn_anew_say() -> None:
    """The interval of a paired difference agrees with a bootstrap over customers; nothing differs from itself."""
    label, customers, cutoff, good, noisy = world()
    judged = {"a": Judged(label, good, cutoff), "b": Judged(label, noisy, cutoff), "c": Judged(label, good, cutoff)}
    found = differences(judged, customers, "a")
    rng, drawn = np.random.default_rng(1), []
    for _ in range(300):
        counts = np.bincount(rng.integers(0, 300, 300), minlength=300)[customers]
        rows = np.repeat(np.arange(600), counts)
        drawn.append(log_loss(label[rows], good[rows]) - log_loss(label[rows], noisy[rows]))
    spread = found["b"][1].high - found["b"][1].low

    assert spread == pytest.approx(2 * 1.96 * np.std(drawn), rel=0.15)
    assert found["b"][1].high < 0.0 < found["b"][0].low
    assert [(one.low, one.high) for one in found["c"]] == [(0.0, 0.0)] * 2


def test_labels_can_be_written_down_and_exchanged() -> None:
    """A learner that is told other labels learns the same vectors with those, in their order."""
    met: list[Example] = []
    given, labels = examples(50), list[int]()
    for prepare in (heard(labels), told_instead([1 - one.label for one in given])):
        learner = cast("Any", SimpleNamespace(learn=met.append))
        prepare(learner)
        for one in given:
            learner.learn(one)

    assert labels == [one.label for one in given]
    assert met[:50] == given
    assert [one.features for one in met[50:]] == [one.features for one in given]
    assert [one.label for one in met[50:]] == [1 - label for label in labels]


def test_a_pass_keeps_the_days_that_were_asked_for() -> None:
    """Rows of those days alone, with what was emitted; labels are unknown where the horizon goes beyond the history."""
    label = LabelSettings(kind="cancellation", horizon_days=14.0)
    history = live(open_sources(["simulator:customers=60,days=50,seed=2"]).events, label, lambda day: day % 7 == 0)
    late = history.day + 14 > history.day.min() + 49

    assert set(np.diff(np.unique(history.day)).tolist()) == {7}
    assert len(history.x) == len(history.emitted) == len(history.own["products"]) == len(history.day)
    assert ((history.label == -1) | ~late).all()
    assert (history.label >= 0).any()
    assert history.champions[0][0] == "rule"
    assert history.learned.tolist() == sorted(history.learned.tolist())


def test_parts_have_names(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown part is refused with those that are allowed."""
    with pytest.raises(SystemExit):
        main(["--only", "weather"])

    assert "allowed: completejourney, cdnow, simulator, null" in capsys.readouterr().err


def test_a_page_keeps_what_was_not_measured_anew() -> None:
    """Of the page before, sections of other titles stay as they were and in their order."""
    first = page([Table("a", ("x", "y"), [("1", "2")], ("old",)), Table("b", ("x",), [("3",)])])
    second = page([Table("a", ("x", "y"), [("5", "6")])], first)

    assert "old" in first
    assert "old" not in second
    assert second.index("| 5 | 6 |") < second.index("## b") < second.index("| 3 |")
    assert page([], second) == second
