"""The summaries are merges: neither order nor the way a history is split changes them."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.events.types import Conversation, Event, Turn
from models.features import FEATURE_NAMES, FEATURES, GROUPS, LISTENERS, feature_vector
from models.features.summary import DAY_S, SKETCH_SIZE, Summary, item_hash, merge, new_summary

START = 1_735_689_600.0  # 2025-01-01T00:00Z
LAYOUTS = {group.name: group.layout for group in GROUPS}
EFFECTS = sorted(LISTENERS)


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


def fold(history: list[Event]) -> dict[str, Summary]:
    """All groups' summaries of a history in the given order."""
    summaries: dict[str, Summary] = {}
    for event in history:
        for group in LISTENERS[event.effect]:
            group.observe(summaries.setdefault(group.name, new_summary(group.layout)), event)
    return summaries


def same(left: dict[str, Summary], right: dict[str, Summary]) -> None:
    """Equal in everything; decayed sums up to rounding, since additions happen in another order."""
    assert left.keys() == right.keys()
    for name, a in left.items():
        b = right[name]
        assert a.tiles == pytest.approx(b.tiles) if not a.tiles else a.tiles.keys() == b.tiles.keys()
        for day, tile in a.tiles.items():
            assert tile == pytest.approx(b.tiles[day], rel=1e-12)
        assert a.totals == pytest.approx(b.totals, rel=1e-12)
        assert a.anchor == b.anchor
        assert a.decayed == pytest.approx(b.decayed, rel=1e-9)
        assert (a.firsts, a.lasts, a.sketch) == (b.firsts, b.lasts, b.sketch)
        assert repr(a.latest) == repr(b.latest)


@given(events, st.randoms())
def test_order_of_arrival_does_not_matter(history: list[Event], chance: random.Random) -> None:
    """Any permutation of a history gives the same summaries."""
    shuffled = history[:]
    chance.shuffle(shuffled)

    same(fold(history), fold(shuffled))


@given(events, st.integers(0, 40))
def test_two_parts_merge_into_the_whole(history: list[Event], cut: int) -> None:
    """Folding two parts and merging equals folding everything, in either order of merging."""
    whole, left, right = fold(history), fold(history[:cut]), fold(history[cut:])
    blank = {name: new_summary(layout) for name, layout in LAYOUTS.items()}

    def merged(a: dict[str, Summary], b: dict[str, Summary]) -> dict[str, Summary]:
        return {n: merge(LAYOUTS[n], a.get(n, blank[n]), b.get(n, blank[n])) for n in whole}

    same(whole, merged(left, right))
    same(whole, merged(right, left))


@given(events, st.integers(0, 13), st.integers(13, 40))
def test_merge_is_associative(history: list[Event], first: int, second: int) -> None:
    """(a + b) + c equals a + (b + c)."""
    parts = [fold(history[:first]), fold(history[first:second]), fold(history[second:])]
    for name, layout in LAYOUTS.items():
        a, b, c = (part.get(name, new_summary(layout)) for part in parts)

        same(
            {name: merge(layout, merge(layout, a, b), c)},
            {name: merge(layout, a, merge(layout, b, c))},
        )


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

    gaps = [b.time - a.time for a, b in itertools.pairwise(orders)]
    return {
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
    row = dict(zip(FEATURE_NAMES, feature_vector(fold(history), now), strict=True))

    for name, expected in slow_features(history, now).items():
        assert row[name] == pytest.approx(expected, rel=1e-9, nan_ok=True), name


def test_distinct_is_exact_while_small_and_close_when_large() -> None:
    """The sketch counts exactly below its size and estimates within a third above it."""
    summary = Summary()
    for i in range(SKETCH_SIZE - 1):
        summary.add_distinct(f"item-{i}")
        summary.add_distinct(f"item-{i}")
    small = summary.distinct()
    for i in range(5000):
        summary.add_distinct(f"more-{i}")

    assert small == SKETCH_SIZE - 1
    assert 0.67 < summary.distinct() / (5000 + SKETCH_SIZE - 1) < 1.5


def test_item_hash_is_the_one_a_database_computes() -> None:
    """The hash is the first 63 bits of MD5, as md5() of SQL databases gives it."""
    assert item_hash("") == int("d41d8cd98f00b204", 16) >> 1


def test_pruning_changes_no_feature() -> None:
    """Tiles that prune drops are outside all windows."""
    history = [Event("x", "view", "c", START + d * DAY_S) for d in range(0, 200, 3)]
    now = history[-1].time
    kept, pruned = fold(history), fold(history)
    for summary in pruned.values():
        summary.prune(now)

    assert len(pruned["clickstream"].tiles) < len(kept["clickstream"].tiles)
    assert feature_vector(pruned, now) == pytest.approx(feature_vector(kept, now), nan_ok=True)


def test_registry_declares_each_feature_once_and_enough_of_them() -> None:
    """Names are unique, described, in the vector's order, and at least thirty."""
    row: list[Any] = feature_vector({}, START)

    assert len(FEATURES) == len(row) >= 30
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)
    assert all(feature.description and feature.unit for feature in FEATURES)
    assert {feature.group for feature in FEATURES} == {group.name for group in GROUPS}
