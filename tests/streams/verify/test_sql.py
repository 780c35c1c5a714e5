"""The SQL against the Python decoder and engine: two independent statements of the same contract must agree."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.events.catalog import ALIASES, CATALOG, CLICKSTREAM
from models.events.clock import parse_time
from models.events.decode import decode
from models.events.types import Event
from models.features import FEATURE_NAMES, GROUPS
from models.features.layout import fixed
from models.features.sketch import item_hash
from streams.verify.compare import DECAYED
from streams.verify.recompute import read_events
from streams.verify.report import lines
from streams.verify.store import INPUTS, Store, open_store, sql_of
from tests.corpus.hostile import HOSTILE, PROCESSED
from tests.streams.verify.support import (
    DAY_S,
    NOW,
    SETTINGS,
    START,
    Played,
    Record,
    raw,
    records,
    renumbered,
    topic_of,
    verified,
)

#: What the SQL needs not know of events without effect on features.
_NO_FACTS = {"update", "message", "identify", "order_cancel", "payment_failed"}


def read(store: Store, values: list[tuple[str, bytes]]) -> dict[int, dict[str, Any]]:
    """The events that SQL makes of accepted records, by their place in the list."""
    store.append_rows("raw", INPUTS["raw"], ((topic, 0, at, value) for at, (topic, value) in enumerate(values)))
    read_events(store)
    names = [row[0] for row in store.rows("DESCRIBE events")]
    return {
        row[names.index("offset")]: dict(zip(names, row, strict=True)) for row in store.rows("SELECT * FROM events")
    }


def python_says(topic: str, value: bytes) -> dict[str, Any]:
    """The same facts from the worker's decoder."""
    event = decode(value, topic, NOW, SETTINGS.events)
    assert isinstance(event, Event), event
    said: dict[str, Any] = {
        "customer_id": event.customer_id, "message_id": event.message_id, "time": event.time, "name": event.name,
        "effect": event.effect,
    }  # fmt: skip
    if event.effect in {"order", "refund", "sub_start", "sub_renew", "sub_cancel"}:
        said |= {"value": fixed(event.value)}
    if event.effect in {"order", "refund"}:
        said |= {"units": fixed(event.units)}
    if event.effect == "order":
        said |= {"discount": fixed(event.discount)}
    if event.effect in {"view", "cart", "checkout", "other", "order"}:
        said |= {"products": list(event.products)}
    if event.conversation is not None:
        said |= {"contact": True, "unresolved": event.conversation.resolved is False}
    return said


def sql_says(event: dict[str, Any], keys: Any) -> dict[str, Any]:
    return {key: (event[key] or []) if key == "products" else event[key] for key in keys}


def assert_same(values: list[tuple[str, bytes]]) -> None:
    with open_store() as store:
        events = read(store, values)
    for at, (topic, value) in enumerate(values):
        expected = python_says(topic, value)

        assert sql_says(events[at], expected) == expected, value


def test_every_feature_group_has_its_sql() -> None:
    """A new group file of models/features comes with a SQL file of its name: the same columns in the same order."""
    with open_store() as store:
        read_events(store)
        for group in GROUPS:
            store.run(group.name)
            columns = [row[0] for row in store.rows(f"DESCRIBE expected_{group.name}")]

            assert columns == ["customer_id", *(feature.name for feature in group.features)], sql_of(group.name)


def test_decayed_features_are_known_by_name() -> None:
    """Only features of a half-life are compared with a tolerance."""
    assert set(FEATURE_NAMES) >= DECAYED
    described = {f.name for group in GROUPS for f in group.features if "half-life" in f.description}
    assert described == DECAYED


def test_both_catalogs_say_the_same() -> None:
    """Names, effects and aliases in SQL are those of the worker's catalog; what it leaves out is 'other'."""
    with open_store() as store:
        told = {name: (effect, facts) for name, effect, facts in store.rows("SELECT name, effect, facts FROM catalog")}
        aliases = {name: store.one("SELECT catalog_name(?)", name) for name in ALIASES}

    assert aliases == ALIASES
    for name, spec in CATALOG.items():
        effect, facts = told.pop(name, ("other", "none"))
        assert (name, effect) == (name, spec.effect)
        assert facts == ("none" if spec.effect in _NO_FACTS | {"payment_ok"} else spec.facts), name
    assert told == {}


def test_hostile_events_are_read_alike() -> None:
    """Whatever odd record the worker accepts, SQL reads the same customer, time and facts from it."""
    accepted = [(one.topic, one.raw) for one in HOSTILE if one.expected == PROCESSED and one.raw is not None]

    assert len(accepted) >= 20
    assert_same(accepted)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05.123Z", "2026-01-02", "2026-01-02T03:04", "20260102T030405", "2026-01-02T03:04:05.1234567Z",
        "2026-01-02T03:04:05+01:30", "2026-01-02 03:04:05-0800", "2026-01-02T03:04:05,5", "2026-01-02T03",
        "2026-01-02T03Z", "2026-01-02T030405Z", "2026-01-02x03:04:05", "2026-01-02T03-0330",
        "2026-01-02T03:04:05+01:30:15",
        1_767_323_045, 1_767_323_045.25, 1_767_323_045_123, -1.5, 99_999_999_999.0, 100_000_000_000,
    ],
)  # fmt: skip
def test_times_are_read_alike(text: str | float) -> None:
    """Every spelling of a time that the worker takes means the same in SQL, to the microsecond."""
    with open_store() as store:
        assert store.one("SELECT time_of(?::JSON)", json.dumps(text)) == parse_time(text, "timestamp")


@given(st.one_of(st.floats(0, 1e9), st.integers(0, 10**12), st.sampled_from([0.00005, 0.00015, 2.5e-5, 1.00005])))
def test_amounts_are_rounded_alike(amount: float) -> None:
    """Whole units of 1e-4, half to even, whichever side rounds."""
    assert _SHARED.one("SELECT fixed(CAST(? AS DOUBLE))", amount) == fixed(amount)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_items_are_hashed_alike(item: str) -> None:
    """The sketch of distinct items is the same in any database."""
    assert _SHARED.one("SELECT item_hash(?)", item) == item_hash(item)


@pytest.fixture(scope="module", autouse=True)
def _shared() -> Any:
    global _SHARED  # noqa: PLW0603 - hypothesis runs a function many times within one fixture
    with open_store() as store:
        _SHARED = store
        yield


_SHARED: Any = None

# -- whole logs --------------------------------------------------------------------------------------

MONEY = st.one_of(
    st.decimals(0, 1000, places=2).map(float), st.decimals(0, 10, places=6).map(str), st.integers(0, 500), st.none(),
    st.just(" "),
)  # fmt: skip
PRODUCT = st.fixed_dictionaries(
    {},
    optional={
        "product_id": st.one_of(st.integers(0, 60), st.sampled_from(["", "7", "é"])),
        "sku": st.sampled_from(["s1", "s2", None]),
        "name": st.integers(100, 140).map(str),
        "quantity": st.one_of(st.integers(0, 3), st.sampled_from(["0.5", 1.25, None, ""])),
    },
)
ORDER = st.fixed_dictionaries(
    {},
    optional={
        "revenue": MONEY, "total": MONEY, "value": MONEY, "discount": MONEY, "products": st.lists(PRODUCT, max_size=12),
    },
)  # fmt: skip
TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["customer", " User", "agent", "bot", None]),
     "text": st.sampled_from(["I want to cancel", "thank you so much", "late again!", "", None])}
)  # fmt: skip
CHAT = st.fixed_dictionaries(
    {"conversation_id": st.integers(1, 9), "channel": st.just("chat")},
    optional={"resolved": st.booleans(), "turns": st.lists(TURN, max_size=3), "transcript": st.lists(TURN, max_size=2)},
)
SUBSCRIPTION = st.fixed_dictionaries({}, optional={"price": MONEY, "revenue": MONEY, "total": MONEY, "value": MONEY})
PROPERTIES: dict[str, st.SearchStrategy[Any]] = {
    "page": st.just({}), "screen": st.none(), "identify": st.just({}), "Something Else": st.just({}),
    "Products Searched": st.just({}), "Product Viewed": PRODUCT, "Product Added": PRODUCT, "Checkout Started": ORDER,
    "Order Completed": ORDER, "Order Refunded": ORDER, "Order Canceled": ORDER, "Payment Failed": st.just({}),
    "Payment Succeeded": st.just({}), "Subscription Started": SUBSCRIPTION, "Subscription Renewed": SUBSCRIPTION,
    "Subscription Canceled": SUBSCRIPTION, "Order Updated": ORDER,
    "Conversation Completed": st.one_of(CHAT, st.none()),
}  # fmt: skip
#: Days, their edges, and anything in between.
TIMES = st.one_of(
    st.integers(0, 130).map(lambda day: START + day * DAY_S),
    st.integers(1, 130).map(lambda day: START + day * DAY_S - 0.001),
    st.integers(0, 130 * 48).map(lambda slot: START + slot * 1800.0),
    st.integers(0, 130 * 86_400_000).map(lambda ms: START + ms / 1000),
)


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """One event, with its time in one of the ways that producers write it."""
    name = draw(st.sampled_from(sorted(PROPERTIES)))
    time = draw(TIMES)
    body: dict[str, Any] = {"type": "track", "event": name} if name[0].isupper() else {"type": name}
    body["properties"] = draw(PROPERTIES[name])
    body |= draw(
        st.sampled_from([{"userId": "a"}, {"userId": 7}, {"anonymousId": "a"}, {"userId": " ", "anonymousId": "b"}])
    )
    message = draw(st.one_of(st.none(), st.integers(1, 12)))
    if message is not None:
        body["messageId"] = message
    iso = datetime.fromtimestamp(time, UTC).isoformat()
    clocks = {"originalTimestamp": time - 3600, "sentAt": time - 3590, "receivedAt": iso}
    body |= draw(st.sampled_from([{"timestamp": iso}, {"timestamp": time * 1000}, {"timestamp": time}, clocks]))
    return json.dumps(body).encode()


@st.composite
def arrivals(draw: st.DrawFn) -> list[Record]:
    """Records on two partitions in any order of arrival, some of them twice; offsets rise per partition."""
    found = draw(st.lists(values(), min_size=1, max_size=40))
    again = draw(st.lists(st.integers(0, len(found) - 1), max_size=5))
    ends: dict[tuple[str, int], int] = {}
    placed = []
    for value in [*found, *(found[at] for at in again)]:
        # A producer's retry carries its message id; another record with the same content is another event.
        place = topic_of(value), draw(st.integers(0, 1))
        ends[place] = ends.get(place, -1) + draw(st.integers(1, 3))
        placed.append(Record(*place, ends[place], value))
    return placed


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(arrivals(), st.integers(1, 15), st.sampled_from([0.0, 43_200.0, 86_400.0]))
def test_any_log_gives_the_same_in_sql(arrived: list[Record], turn: int, ahead_s: float) -> None:
    """Whatever arrives in whatever order, also from the future: states and scores are what SQL makes of the log."""
    first = {}
    for record in arrived:
        body = json.loads(record.raw)
        if "messageId" in body:
            # Messages with one id must be the same message: which of two different ones is first is nobody's promise.
            key = body.get("userId"), body.get("anonymousId"), body["messageId"]
            first.setdefault(key, record)
    kept = [
        record if (found := first.get(_message(record))) is None else record._replace(raw=found.raw, topic=found.topic)
        for record in arrived
    ]
    played = Played(renumbered(kept), turn, ahead_s=ahead_s)
    report = verified(played, as_of=played.clock)

    assert report.ok, "\n".join(lines(report))


def _message(record: Record) -> tuple[Any, Any, Any] | None:
    body = json.loads(record.raw)
    return (body.get("userId"), body.get("anonymousId"), body["messageId"]) if "messageId" in body else None


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(values(), min_size=1, max_size=30))
def test_any_event_is_read_alike(found: list[bytes]) -> None:
    """SQL reads the same customer, time and facts from an event as the worker's decoder."""
    assert_same([(topic_of(value), value) for value in found])


def test_only_orders_decay_the_rate_of_orders() -> None:
    """A failed payment stamped a day ahead of the clock leaves the rate of orders as it is."""
    story = [raw("Order Completed", "c", 0.0, revenue=1), raw("Payment Failed", "c", 1.0)]
    played = Played(records(story), ahead_s=DAY_S)
    report = verified(played, as_of=played.clock)

    assert report.ok, list(lines(report))


def test_more_products_than_a_sketch_holds_are_estimated_alike() -> None:
    """From 32 distinct products on both sides tell the same estimate."""
    orders = [
        raw("Order Completed", "c", day, revenue=1, products=[{"product_id": f"p{day}-{i}"} for i in range(9)])
        for day in range(10)
    ]
    report = verified(Played([Record(topic_of(value), 0, at, value) for at, value in enumerate(orders)]))

    assert report.ok, list(lines(report))


def test_a_repeated_name_means_its_last_value() -> None:
    """JSON with equal names is read like by the worker: the last one counts, also within properties."""
    twice = b'{"type":"page","type":"track","event":"Order Completed","userId":"x","userId":"c","timestamp":1750000000,'
    assert_same([("purchases", twice + b'"properties":{"revenue":1,"revenue":2}}')])


def test_the_mark_of_utf8_is_no_part_of_the_document() -> None:
    """A byte order mark in front of an event changes nothing."""
    assert_same([(CLICKSTREAM, b"\xef\xbb\xbf" + raw("page", "c", 1.0))])
