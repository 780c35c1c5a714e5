"""The summaries are merges: neither order nor the way a history is split changes them."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.events.types import Conversation, Event, Turn
from models.features import FEATURE_NAMES, FEATURES, GROUPS, LISTENERS
from models.features.base import Group
from models.features.layout import DAY_S, NEVER
from models.features.sketch import SKETCH_SIZE, add_items, distinct, item_hash
from models.fold import fold
from models.labels import LabelDefinition
from models.merge import merge_customer
from models.settings import LabelSettings
from models.table import BLOBS, SPANS, Table

START = 1_735_689_600.0  # 2025-01-01T00:00Z
LABEL = LabelDefinition(LabelSettings())
EFFECTS = sorted(LISTENERS)
TENURE = next(group for group in GROUPS if group.name == "tenure")


def _conversation(mood: str, resolved: bool | None) -> Conversation:
    return Conversation("c", "chat", turns=(Turn("customer", mood),), resolved=resolved)


events = st.lists(
    st.builds(
        Event,
        name=st.just("any"),
        effect=st.sampled_from(EFFECTS),
        customer_id=st.just("c"),
        time=st.integers(0, 100 * 86_400).map(lambda s: START + s),
        value=st.integers(0, 10_000).map(lambda cents: cents / 4),
        discount=st.integers(0, 100).map(float),
        units=st.integers(0, 9).map(float),
        products=st.lists(st.sampled_from([f"p{i}" for i in range(80)]), max_size=3).map(tuple),
        conversation=st.none()
        | st.builds(
            _conversation, st.sampled_from(["I love this", "this is terrible", "cancel my subscription"]),
            st.sampled_from([True, False, None]),
        ),
    ),
    max_size=40,
)  # fmt: skip


def table_of(history: list[Event], turns: int = 1, now: float = NEVER) -> Table:
    """A table with one customer, whose history is folded in in so many turns."""
    table = Table()
    table.add("c")
    size = len(history) // turns + 1
    for start in range(0, len(history), size):
        fold(table, [(0, event) for event in history[start : start + size]], now)
    return table


def row_of(table: Table, now: float) -> dict[str, float]:
    return dict(zip(FEATURE_NAMES, table.features(np.array([0]), now)[0].tolist(), strict=True))


def same(left: Table, right: Table) -> None:
    """Equal in every byte, but for decayed sums, which are equal up to rounding."""
    for name, mine, theirs in zip(BLOBS, left.blobs, right.blobs, strict=True):
        assert mine == theirs, name
    assert left.core[0].tolist() == pytest.approx(right.core[0].tolist(), rel=1e-9, nan_ok=True)


def merged(*parts: Table) -> Table:
    """The first table with the others merged in, one after the other."""
    whole = Table.restore(parts[0].dump())
    for part in parts[1:]:
        merge_customer((whole, 0), (part, 0), LABEL)
    return whole


@given(events, st.randoms(), st.integers(1, 7))
def test_neither_order_of_arrival_nor_turns_matter(history: list[Event], chance: random.Random, turns: int) -> None:
    """Any permutation of a history, cut into any number of turns, gives the same state."""
    shuffled = history[:]
    chance.shuffle(shuffled)

    same(table_of(history), table_of(shuffled, turns))


@given(events, st.integers(0, 40))
def test_two_parts_merge_into_the_whole(history: list[Event], cut: int) -> None:
    """Folding two parts and merging equals folding everything, in either order of merging."""
    whole, left, right = table_of(history), table_of(history[:cut]), table_of(history[cut:])

    same(whole, merged(left, right))
    same(whole, merged(right, left))


@given(events, st.integers(0, 13), st.integers(13, 40))
def test_merge_is_associative(history: list[Event], first: int, second: int) -> None:
    """(a + b) + c equals a + (b + c)."""
    a, b, c = table_of(history[:first]), table_of(history[first:second]), table_of(history[second:])

    same(merged(merged(a, b), c), merged(a, merged(b, c)))


@given(st.lists(events, min_size=2, max_size=4))
def test_customers_of_a_turn_do_not_touch_each_other(histories: list[list[Event]]) -> None:
    """Folding several customers in one turn gives each the state that it has alone."""
    together = Table()
    for i in range(len(histories)):
        together.add(f"c{i}")
    mixed = [(i, event) for i, history in enumerate(histories) for event in history]
    fold(together, mixed[::2] + mixed[1::2], NEVER)
    rows = np.arange(len(histories))

    found = together.features(rows, START + 100 * DAY_S)
    for i, history in enumerate(histories):
        alone = table_of(history)
        assert [kept[i] for kept in together.blobs] == [kept[0] for kept in alone.blobs]
        expected = alone.features(np.array([0]), START + 100 * DAY_S)[0]
        assert found[i].tolist() == pytest.approx(expected.tolist(), rel=1e-9, nan_ok=True)


def slow_features(history: list[Event], now: float) -> dict[str, float]:
    """Some features straight from the raw events, without any summary."""
    clicks = [e for e in history if e.effect in {"page", "screen", "view", "search", "cart", "checkout", "other"}]
    orders = sorted((e for e in history if e.effect == "order"), key=lambda e: e.time)
    talks = [e for e in history if e.conversation is not None and e.effect == "conversation"]

    def within(chosen: list[Event], days: int) -> list[Event]:
        return [e for e in chosen if now // DAY_S - days < e.time // DAY_S <= now // DAY_S]

    def slots(chosen: list[Event]) -> int:
        taken = sorted({(int(e.time // DAY_S), int(e.time % DAY_S // 1800)) for e in chosen})
        return sum((day, slot - 1) not in taken for day, slot in taken)

    def trend() -> float:
        active = {e.time // DAY_S for e in within([e for e in history if e.effect in TENURE.effects], 90)}
        if not active:
            return math.nan
        seen = now / DAY_S - min(active)
        fading = sum(2 ** (-(now // DAY_S - day) / 10) for day in active)
        recent = (fading + 0.5) / (10 / math.log(2) * (1 - 2 ** (-seen / 10)) + 0.5)
        return recent / ((len(active) + 0.5) / (seen + 0.5))

    gaps = [b.time - a.time for a, b in itertools.pairwise(orders)]
    prices = [(e.time, e.value) for e in history if e.effect in {"sub_start", "sub_renew"} and e.value > 0]
    return {
        "activity_trend": trend(),
        "subscription_price": max(prices)[1] if prices else math.nan,
        "clicks_1d": len(within(clicks, 1)),
        "clicks_7d": len(within(clicks, 7)),
        "clicks_90d": len(within(clicks, 90)),
        "sessions_30d": slots(within(clicks, 30)),
        "orders_30d": len(within(orders, 30)),
        "spend_90d": sum(e.value for e in within(orders, 90)),
        "orders_total": len(orders),
        "days_since_order": (now - orders[-1].time) / DAY_S if orders else math.nan,
        "order_cadence_days": sum(gaps) / len(gaps) / DAY_S if gaps else math.nan,
        "order_rate": sum(2 ** (-(now - e.time) / DAY_S / 14) for e in orders) * math.log(2) / 14,
        "contacts_90d": len(within(talks, 90)),
        "unresolved_30d": sum(e.conversation.resolved is False for e in within(talks, 30) if e.conversation),
        "failed_payments_30d": len(within([e for e in history if e.effect == "payment_failed"], 30)),
    }


@given(events, st.floats(0, 30))
def test_features_equal_the_slow_truth(history: list[Event], later_days: float) -> None:
    """Features from the summaries equal a direct computation over all raw events."""
    now = max((e.time for e in history), default=START) + later_days * DAY_S
    row = row_of(table_of(history, 3, now), now)

    for name, expected in slow_features(history, now).items():
        assert row[name] == pytest.approx(expected, rel=1e-9, nan_ok=True), name


@pytest.mark.parametrize("days", [3, 20, 80, 300])
@pytest.mark.parametrize("every", [1, 2, 5])
def test_a_steady_rhythm_has_a_trend_of_one_however_long_it_was_seen(days: int, every: int) -> None:
    """Who is active every so many days is told as neither more nor less active than usual, also when new."""
    visits = [Event("x", "page", "c", START + day * DAY_S + 3600.0) for day in range(0, days, every)]
    now = START + (days - 0.5) * DAY_S

    assert row_of(table_of(visits), now)["activity_trend"] == pytest.approx(1.0, abs=0.2)


def test_the_trend_follows_the_last_weeks() -> None:
    """A daily visitor who pauses for two weeks falls to half of usual; one who comes back is measured from then."""
    daily = [Event("x", "page", "c", START + day * DAY_S) for day in range(60)]
    back = [Event("x", "page", "c", START + (day + 200) * DAY_S) for day in range(6)]

    assert row_of(table_of(daily), START + 73.5 * DAY_S)["activity_trend"] < 0.55
    assert row_of(table_of(daily + back), START + 205.5 * DAY_S)["activity_trend"] == pytest.approx(1.0, abs=0.1)


def test_the_latest_price_counts_and_none_is_no_price() -> None:
    """A renewal at a new price replaces the old one; a renewal that tells no price, or a late one, does not."""
    told = [("sub_start", 0, 9.99), ("sub_renew", 60, 14.99), ("sub_renew", 90, 0.0), ("sub_renew", 30, 9.99)]
    history = [Event("x", effect, "c", START + day * DAY_S, value=value) for effect, day, value in told]

    assert row_of(table_of(history), START + 99 * DAY_S)["subscription_price"] == 14.99
    assert math.isnan(row_of(table_of(history[2:3]), START + 99 * DAY_S)["subscription_price"])


def test_distinct_is_exact_while_small_and_close_when_large() -> None:
    """The sketch counts exactly below its size and estimates within a third above it."""
    few = [f"item-{i}" for i in range(SKETCH_SIZE - 1)]
    small = add_items(b"", few + few)
    large = add_items(small, [f"more-{i}" for i in range(5000)])
    counted, estimated = distinct([small, large]).tolist()

    assert counted == SKETCH_SIZE - 1
    assert 0.67 < estimated / (5000 + SKETCH_SIZE - 1) < 1.5


def test_item_hash_is_the_one_a_database_computes() -> None:
    """The hash is the first 63 bits of MD5, as md5() of SQL databases gives it."""
    assert item_hash("") == int("d41d8cd98f00b204", 16) >> 1


def test_sums_of_money_are_exact() -> None:
    """Ten times ten cents are one, in any order, and a fraction of a cent is kept to four decimals."""
    spent = [Event("x", "order", "c", START + i, value=value) for i, value in enumerate([0.1] * 10 + [0.00004, 0.0001])]

    assert row_of(table_of(spent), START)["spend_7d"] == row_of(table_of(spent[::-1]), START)["spend_7d"] == 1.0001


def test_old_tiles_are_dropped_and_change_no_feature() -> None:
    """Tiles that no window can see any more go, whether or not new events come for their days."""
    history = [Event("x", "view", "c", START + d * DAY_S) for d in range(0, 200, 3)]
    now = history[-1].time
    kept, pruned = table_of(history), table_of(history, 5, now)
    tiles = BLOBS.index("clickstream.tiles")

    assert len(pruned.blobs[tiles][0]) < len(kept.blobs[tiles][0])
    assert row_of(pruned, now) == pytest.approx(row_of(kept, now), nan_ok=True)


def test_a_failing_event_leaves_the_table_as_it_was() -> None:
    """Folding is all or nothing: when one event makes it fail, no other event of the turn has left a trace."""
    table = table_of([Event("x", "order", "c", START, value=1.0, products=("a",))])
    before = table.encode(np.array([0]), 0)
    bad = Event("x", "order", "c", START, value=math.nan)

    with pytest.raises(ValueError, match="NaN"):
        fold(table, [(0, Event("x", "view", "c", START, products=("b",))), (0, bad)], NEVER)

    assert table.encode(np.array([0]), 0) == before


def test_registry_declares_each_feature_once_and_enough_of_them() -> None:
    """Names are unique, described, in the vector's order, and at least thirty; every group's columns fit its layout."""
    row = row_of(table_of([]), START)

    assert len(FEATURES) == len(row) >= 30
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)
    assert all(feature.description and feature.unit for feature in FEATURES)
    assert {feature.group for feature in FEATURES} == {group.name for group in GROUPS}
    assert [span.stop - span.start for span in SPANS] == [group.layout.columns for group in GROUPS]


@pytest.mark.parametrize("group", [group for group in GROUPS if group.observe_times], ids=lambda group: group.name)
@given(st.lists(st.floats(-1e9, 4e9), min_size=1, max_size=20))
def test_many_events_of_one_effect_are_observed_as_each_of_them(group: Group, times: list[float]) -> None:
    """`observe_times` gives what `observe` gives, event by event."""
    assert group.observe_times is not None
    for effect in group.effects:
        alone = [group.observe(Event("any", effect, "c", time)) for time in times]

        assert group.observe_times(effect, np.array(times)).tolist() == [list(one or ()) for one in alone]
