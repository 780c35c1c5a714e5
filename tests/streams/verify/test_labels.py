"""Labels of examples against the raw log."""

from __future__ import annotations

import msgspec
import pytest

from models.records import Example
from models.settings import LabelSettings, Settings
from streams.verify.labels import WrongLabel, wrong_labels
from streams.verify.recompute import read_events
from tests.streams.verify.support import SETTINGS, START, Played, filled, raw, records

INACTIVITY = msgspec.structs.replace(
    SETTINGS, label=LabelSettings(kind="inactivity", horizon_days=10, snapshot_every_days=5)
)
SEVERAL = msgspec.structs.replace(
    SETTINGS, label=LabelSettings(kind="cancellation", horizon_days=30, other_horizons_days=(7, 14), gap_days=3)
)


def story() -> Played:
    """One customer who buys and leaves, one who only cannot pay, one who buys once; and months of silence behind."""
    values = [raw("Order Completed", who, day, revenue=5) for day in range(0, 60, 6) for who in ("goes", "stays")]
    values.insert(0, raw("Order Completed", "once", 0.0, revenue=5))
    values.append(raw("Subscription Cancelled", "goes", 61.0))
    values.append(raw("Subscription Cancelled", "stays", 62.0, reason="Payment-Failed "))
    return Played(records(values), turn=3)


def told(settings: Settings) -> Played:
    """The story under a label definition, until everything has matured."""
    played = Played(story().records, turn=3, settings=settings)
    played.flush(START + 150 * 86_400)
    return played


def wrong(played: Played, examples: list[Example]) -> list[WrongLabel]:
    with filled(played) as (store, _):
        read_events(store)
        return wrong_labels(store, examples, played.settings.label)


@pytest.mark.parametrize("settings", [SETTINGS, INACTIVITY, SEVERAL])
def test_the_workers_labels_are_those_of_the_log(settings: Settings) -> None:
    """Every matured example of each definition has the label that SQL finds in the log, and both labels occur."""
    played = told(settings)

    assert {one.label for one in played.examples} == {0, 1}
    assert wrong(played, played.examples) == []


@pytest.mark.parametrize("settings", [SETTINGS, INACTIVITY])
def test_a_wrong_label_is_told(settings: Settings) -> None:
    """A flipped label is found, and only that."""
    played = told(settings)
    first, *rest = played.examples
    flipped = msgspec.structs.replace(first, label=1 - first.label)

    assert wrong(played, [*rest, flipped]) == [
        WrongLabel(first.customer_id, first.as_of, expected=first.label, found=1 - first.label)
    ]


def test_the_horizon_includes_its_end_and_not_its_beginning() -> None:
    """An event at the time of the prediction decides nothing; one exactly at the end of the horizon does."""
    played = told(SETTINGS)
    [model] = played.examples[:1]
    at = START + 61 * 86_400

    def example(as_of: float, label: int) -> Example:
        return msgspec.structs.replace(model, customer_id="goes", as_of=as_of, label=label, horizon_days=10.0)

    right = [example(at, 0), example(at - 10 * 86_400, 1), example(at - 10 * 86_400 - 1, 0)]

    assert wrong(played, right) == []
