"""What becomes of predictions, through the engine: ledger lines, examples, several horizons, late events."""

from __future__ import annotations

from typing import Any

import pytest

from models.churn.serving import ServingModel
from models.engine import Engine, Flush
from models.events.types import Event
from models.features import FEATURE_VERSION, FEATURES
from models.features.layout import DAY_S
from models.settings import LabelSettings, Settings

START = 1_735_689_600.0


class Story:
    """An engine with one customer, Ann, who joined on day 0; days are told by `day`."""

    def __init__(self, **label: Any) -> None:
        settings = Settings(label=LabelSettings(kind="cancellation", **label))
        model = ServingModel.initial(FEATURES, FEATURE_VERSION, settings.label)
        self.engine = Engine(settings, model, ("purchases/0",))
        self._offset = 0
        self.first = self.day(0, "Subscription Started")

    def day(self, day: float, name: str | None = None, at: float | None = None, cause: str | None = None) -> Flush:
        """Apply an event of the day (or of an earlier one, `at`), then flush until nothing is due."""
        now = START + day * DAY_S
        if name is not None:
            effect = "sub_start" if name == "Subscription Started" else "sub_cancel"
            time = now if at is None else START + at * DAY_S
            self.engine.apply(Event(name, effect, "ann", time, cause=cause), "purchases/0", self._offset)
            self._offset += 1
        told = self.engine.flush(now, 0.0)
        while self.engine.has_due(now):
            more = self.engine.flush(now, 0.0)
            for part in Flush.__struct_fields__:
                getattr(told, part).extend(getattr(more, part))
        return told


def lines(flush: Flush) -> list[tuple[float, float, str, str, int | None]]:
    return [
        ((line.as_of - START) / DAY_S, line.horizon_days, line.status, line.outcome, line.label)
        for line in flush.labels
    ]  # fmt: skip


def test_a_prediction_is_pending_then_matured() -> None:
    """The ledger has a line when a prediction is kept, and one when its truth is known, with the example."""
    story = Story()
    later = story.day(31)

    assert lines(story.first) == [(0, 30, "pending", "unknown", None)]
    assert lines(later)[0] == (0, 30, "matured", "stayed", 0)
    assert [(example.example_id, example.label) for example in later.examples] == [(f"ann@{START:.3f}", 0)]


def test_a_late_cancellation_revises_the_label_but_makes_no_second_example() -> None:
    """What was told as stayed is told again as left within `revise_within_days`, and not any more after it."""
    story = Story(revise_within_days=7)
    story.day(31)

    late = story.day(32, "Subscription Cancelled", at=29)
    assert (0, 30, "revised", "left", 1) in lines(late)
    assert f"ann@{START:.3f}" not in {example.example_id for example in late.examples}

    story = Story(revise_within_days=7)
    story.day(31)
    story.day(38)
    assert not [line for line in lines(story.day(39, "Subscription Cancelled", at=29)) if line[2] == "revised"]


def test_every_horizon_has_its_own_example_and_model() -> None:
    """One kept prediction becomes one example per horizon, each when its own horizon ends."""
    story = Story(horizon_days=30, other_horizons_days=(7, 90))

    assert [line[1] for line in lines(story.first)] == [30, 7, 90]
    assert list(story.first.scores[0].other_horizons) == ["7", "90"]
    assert [example.example_id for example in story.day(8).examples] == [f"ann@{START:.3f}/7d"]
    assert f"ann@{START:.3f}" in [example.example_id for example in story.day(30).examples]
    ninety = [example for example in story.day(91).examples if example.example_id == f"ann@{START:.3f}/90d"]
    assert [(example.label, example.horizon_days) for example in ninety] == [(0, 90)]


@pytest.mark.parametrize(
    ("label", "cause", "outcome"),
    [({"gap_days": 7}, None, "left_in_gap"), ({}, "payment_failed", "left_involuntary")],
)
def test_what_teaches_nothing_is_void(label: dict[str, Any], cause: str | None, outcome: str) -> None:
    """A leave in the gap, or because payments failed, is told in the ledger and makes no example."""
    flush = Story(**label).day(3, "Subscription Cancelled", cause=cause)

    assert lines(flush) == [(0, 30, "void", outcome, None)]
    assert not flush.examples


def test_the_ledger_is_bounded() -> None:
    """A customer's predictions do not pile up: those told are forgotten, those open are at most `max_pending`."""
    story = Story(max_pending=3)
    sizes = []
    for day in range(1, 200):
        story.day(day)
        facts = story.engine.customer("ann", START + day * DAY_S)
        assert facts is not None
        sizes.append(len(facts["pending"]))

    assert max(sizes) == 3


def test_a_look_is_what_a_flush_sees() -> None:
    """A backtest that only looks gets the rows, scores and examples that a worker's flush is made of."""
    looking, telling = Story().engine, Story().engine
    for day in (1.0, 8.0, 31.0):
        look = looking.look(START + day * DAY_S)
        flush = telling.flush(START + day * DAY_S, 0.0)

        assert looking.ids(look.scored) == ["ann"]
        assert [example.example_id for example in look.examples] == [one.example_id for one in flush.examples]
        assert look.labels == flush.labels
        if flush.scores:
            assert look.scores.first.probability.tolist() == [flush.scores[0].probability]
