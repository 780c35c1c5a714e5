"""Plans and stories: the same seed, the same faults and records."""

from __future__ import annotations

import time
from collections import Counter
from itertools import islice

import pytest

from app.chaos import plan as kinds
from app.chaos.plan import FEWEST_FAULTS, MOST_WORKERS, Fault, plan
from app.chaos.story import Story
from models.events.decode import decode
from models.events.types import Event
from models.settings import EventSettings, WorkerSettings
from streams.worker.intake import partition_of

SESSION_S = 6.0
SEEDS = range(40)


def faults(seed: int, count: int = 20, *, broker: bool = True) -> tuple[Fault, ...]:
    return plan(seed, count, 200_000, session_s=SESSION_S, broker=broker)


def story(seed: int = 1, events: int = 6_000) -> Story:
    return Story(seed=seed, events=events, partitions=4)


def test_the_same_seed_gives_the_same_faults() -> None:
    """Kinds, targets, gaps and holds repeat with the seed, and differ with another."""
    assert faults(7) == faults(7)
    assert faults(7) != faults(8)


@pytest.mark.parametrize("broker", [True, False])
@pytest.mark.parametrize("count", [FEWEST_FAULTS, 20, 50])
def test_every_plan_holds_every_kind(count: int, broker: bool) -> None:
    """However few the faults are, none of the kinds is missing; only a broker of our own is killed."""
    wanted = {kinds.KILL, kinds.PAUSE, kinds.TERMINATE, kinds.ADD, kinds.REMOVE}
    wanted |= {kinds.KILL_TRAINER, kinds.PAUSE_TRAINER}

    for seed in SEEDS:
        made = faults(seed, count, broker=broker)
        assert len(made) == count
        assert {fault.kind for fault in made} == wanted | ({kinds.KILL_BROKER} if broker else set())


def test_workers_grow_from_one_to_three_and_shrink_to_one_again() -> None:
    """A fault hits only who runs, and the number of workers goes 1, 3, 1."""
    for seed in SEEDS:
        alive, most = {"worker-1"}, 1
        for fault in faults(seed):
            if fault.kind == kinds.ADD:
                assert fault.target not in alive
                alive.add(fault.target)
            elif fault.target.startswith("worker"):
                assert fault.target in alive
            if fault.kind == kinds.REMOVE:
                alive.remove(fault.target)
            most = max(most, len(alive))

        assert (most, len(alive)) == (MOST_WORKERS, 1)


def test_pauses_outlast_the_session_and_faults_end_before_the_events_do() -> None:
    """A paused worker loses its partitions, and there is always something to process when a fault comes."""
    for seed in SEEDS:
        made = faults(seed)

        assert all(fault.hold_s > SESSION_S for fault in made if fault.kind.startswith("pause"))
        assert sum(fault.gap_events for fault in made) < 200_000
        assert all(bool(fault.gap_events) != bool(fault.gap_s) for fault in made)


def test_a_plan_too_short_for_every_kind_is_refused() -> None:
    """The message says how many faults are allowed."""
    with pytest.raises(ValueError, match=f"allowed: {FEWEST_FAULTS} or more"):
        faults(1, FEWEST_FAULTS - 1)


def test_the_same_seed_tells_the_same_story() -> None:
    """Record for record, so that the checks can hear it again."""
    assert list(story().records()) == list(story().records())
    assert list(islice(story(1).records(), 50)) != list(islice(story(2).records(), 50))


def test_a_story_has_everything_that_producers_do_wrong() -> None:
    """Repeats, broken records, wrong partitions, missing keys, strangers and lateness; and just as many events."""
    records = list(story().records())
    valid = [record for record in records if record.valid]
    newest, late = 0.0, 0
    for record in valid:
        event = decode(record.raw, record.topic, time.time(), EventSettings())
        assert isinstance(event, Event)
        late += event.time < newest - 600.0
        newest = max(newest, event.time)

    assert len({record.message_id for record in valid}) == sum(not record.repeat for record in valid) == 6_000
    assert len(valid) > 6_000
    assert len(valid) < len(records)
    assert {record.topic for record in records} == {"clickstream", "purchases", "contact_center"}
    assert sum(partition_of(record.customer_id, 4) != record.partition for record in valid) > 100
    assert any(record.key is None for record in valid)
    assert any(record.customer_id.startswith("anonymous:") for record in valid)
    assert late > 100


def test_a_story_knows_what_the_decoder_will_say() -> None:
    """What the story calls valid is an event of that customer, and nothing else is one; broken records differ."""
    settings = EventSettings()
    broken = Counter[bytes]()
    for record in story(3, 20_000).records():
        found = decode(record.raw, record.topic, time.time(), settings)
        assert isinstance(found, Event) == record.valid
        if isinstance(found, Event):
            assert (found.customer_id, found.message_id) == (record.customer_id, record.message_id)
        else:
            broken[record.raw] += 1

    assert broken
    assert max(broken.values()) == 1


def test_repeats_come_within_the_window_in_which_they_are_noticed() -> None:
    """Even for the busiest customer; a repeat beyond the window would count twice by design."""
    seen: dict[str, dict[str, int]] = {}
    for record in story(5, 30_000).records():
        if record.message_id is None:
            continue
        known = seen.setdefault(record.customer_id, {})
        place = known.setdefault(record.message_id, len(known))
        assert len(known) - place < WorkerSettings().duplicate_window // 2
