from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from streams.sync.pending import Item, Offsets, Origin, Pending
from tests.streams.sync.support import change_of, make_score


def item(customer_id: str, due: float, waiting_since: float = 0.0) -> Item:
    made = Item(change_of(make_score(customer_id)), "h", Origin("scores", 0, 0), waiting_since)
    made.due = due
    return made


def drain(pending: Pending, now: float) -> list[str]:
    taken = []
    while (found := pending.take_due(now)) is not None:
        taken.append(found.customer_id)
    return taken


def test_items_come_out_as_they_fall_due() -> None:
    """The item that is due longest comes first, and nothing comes before its time."""
    pending = Pending()
    for customer_id, due in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        pending.put(item(customer_id, due))

    assert pending.next_due() == 1.0
    assert pending.take_due(0.9) is None
    assert drain(pending, 2.0) == ["a", "b"]
    assert len(pending) == 1


def test_removed_items_do_not_come_back() -> None:
    """A removed item is gone, and its place can be taken by another of the same customer."""
    pending = Pending()
    pending.put(item("a", 1.0))
    removed = pending.remove("a")
    pending.put(item("a", 5.0))

    assert removed is not None
    assert pending.next_due() == 5.0
    assert drain(pending, 9.0) == ["a"]
    assert pending.next_due() is None


def test_hurry_makes_the_longest_waiting_first() -> None:
    """When a destination is back everything is due, in the order in which customers began to wait."""
    pending = Pending()
    for number, since in enumerate((3.0, 1.0, 2.0)):
        pending.put(item(f"c{number}", 1000.0 + number, waiting_since=since))
    pending.hurry(10.0)

    assert drain(pending, 10.0) == ["c1", "c2", "c0"]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["put", "remove", "take"]), st.integers(0, 9))))
def test_queue_agrees_with_a_plain_dict(steps: list[tuple[str, str, int]]) -> None:
    """Any sequence of steps leaves the same items as a dictionary searched by hand."""
    pending, plain = Pending(), {}
    for customer_id, step, number in steps:
        if step == "put" and customer_id not in plain:
            plain[customer_id] = float(number)
            pending.put(item(customer_id, float(number)))
        elif step == "remove":
            assert (pending.remove(customer_id) is not None) == (plain.pop(customer_id, None) is not None)
        elif step == "take":
            taken = pending.take_due(float(number))
            due = [due for due in plain.values() if due <= number]

            assert (taken is None) == (not due)

            if taken is not None:
                assert plain.pop(taken.customer_id) == min(due)

    assert pending.next_due() == min(plain.values(), default=None)
    assert {found.customer_id for found in pending} == set(plain)


def test_commit_stops_at_the_lowest_open_offset() -> None:
    """Whatever is settled above an open record stays uncommitted until that record is settled too."""
    offsets = Offsets()
    for offset in (4, 5, 9):
        offsets.read(Origin("scores", 0, offset))
    offsets.settle(Origin("scores", 0, 5))
    offsets.settle(Origin("scores", 0, 9))

    assert offsets.committable() == {("scores", 0): 4}

    offsets.settle(Origin("scores", 0, 4))

    assert offsets.committable() == {("scores", 0): 10}


@given(seed=st.integers(), count=st.integers(1, 60))
def test_commit_never_passes_an_open_record(seed: int, count: int) -> None:
    """For records settled in any order, the committable offset is the lowest open one."""
    offsets, rng = Offsets(), random.Random(seed)
    read = sorted(rng.sample(range(200), count))
    for offset in read:
        offsets.read(Origin("scores", 1, offset))
    still_open = set(read)
    for offset in rng.sample(read, count):
        offsets.settle(Origin("scores", 1, offset))
        still_open.remove(offset)

        assert offsets.committable() == {("scores", 1): min(still_open, default=read[-1] + 1)}


def test_dropped_partitions_commit_nothing() -> None:
    """A partition that was taken away is not committed, and late settlements for it are ignored."""
    offsets = Offsets()
    offsets.read(Origin("scores", 0, 1))
    offsets.read(Origin("scores", 1, 1))
    offsets.drop([("scores", 0), ("scores", 7)])
    offsets.settle(Origin("scores", 0, 1))

    assert offsets.committable() == {("scores", 1): 1}
