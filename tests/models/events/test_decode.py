from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.events import wire
from models.events.catalog import ALIASES, CATALOG, PUBLIC_TOPICS
from models.events.decode import REASONS, decode
from models.events.facts import READERS
from models.events.types import Event, Rejection
from models.settings import EventSettings

NOW = 1767225600.0  # 2026-01-01
TOPICS = (*PUBLIC_TOPICS, "rerouted")


def decode_track(event: str, properties: Any, **fields: Any) -> Event | Rejection:
    body = {"type": "track", "event": event, "userId": "u", "timestamp": 1736071200, "properties": properties} | fields
    return decode(json.dumps(body).encode(), "rerouted", NOW, EventSettings())


def event_of(event: str, properties: Any, **fields: Any) -> Event:
    decoded = decode_track(event, properties, **fields)
    assert isinstance(decoded, Event), decoded
    return decoded


def test_specification_example_decodes_unchanged() -> None:
    """The page call printed in Segment's specification is accepted as it stands."""
    raw = b"""{
      "anonymousId": "23adfd82-aa0f-45a7-a756-24f2a7a4c895",
      "context": {"library": {"name": "analytics.js", "version": "2.11.1"}, "ip": "108.0.78.21"},
      "integrations": {"All": true, "Mixpanel": false},
      "messageId": "ajs-f8ca1e4de5024d9430b3928bd8ac6b96",
      "name": "Home",
      "properties": {"path": "/", "referrer": "", "search": "", "title": "Home", "url": "https://shop.example/"},
      "receivedAt": "2015-12-12T19:11:01.266Z",
      "sentAt": "2015-12-12T19:11:01.169Z",
      "timestamp": "2015-12-12T19:11:01.249Z",
      "type": "page",
      "userId": "AiUGstSDIg",
      "originalTimestamp": "2015-12-12T19:11:01.152Z",
      "version": "1.1"
    }"""

    expected = Event("page", "page", "AiUGstSDIg", 1449947461.249, "ajs-f8ca1e4de5024d9430b3928bd8ac6b96")

    assert decode(raw, "clickstream", NOW, EventSettings()) == expected


def test_order_carries_its_facts() -> None:
    """An order's value is its revenue, its units all quantities, its products one id per line."""
    products = [
        {"product_id": "p-1", "sku": "s-1", "quantity": 2},
        {"sku": 42, "name": "Mug"},
        {"name": "Tea", "quantity": "1.5"},
        {"product_id": "", "quantity": 0},
    ]
    properties = {"order_id": 7, "revenue": 25, "total": 27.5, "value": 99, "discount": "2.50", "products": products}

    order = event_of("Order Completed", properties)

    assert (order.value, order.discount, order.units, order.reference) == (25.0, 2.5, 4.5, "7")
    assert order.products == ("p-1", "42", "Tea")


@pytest.mark.parametrize(
    ("event", "properties", "value"),
    [
        ("Order Completed", {"total": 27.5, "value": 1}, 27.5),
        ("Order Completed", {"value": 1}, 1.0),
        ("Order Completed", {"revenue": 0, "total": 5}, 0.0),
        ("Order Completed", {"revenue": "", "total": 5}, 5.0),
        ("Order Completed", {}, 0.0),
        ("Order Refunded", {"total": 12, "revenue": 10}, 12.0),
        ("Order Refunded", {"revenue": 10}, 10.0),
        ("Subscription Started", {"price": 9.99, "value": 120}, 9.99),
        ("Subscription Renewed", {"revenue": 9}, 9.0),
        ("Payment Failed", {"total": "9.99"}, 9.99),
        ("Charge Failed", {"price": 9.99}, 9.99),
        ("Product Viewed", {"product_id": "p", "value": 18}, 0.0),
        ("Some Track Of Ours", {"value": "not even a number"}, 0.0),
    ],
)
def test_value_is_the_first_amount_given(event: str, properties: dict[str, Any], value: float) -> None:
    """Each kind of event has its own order of amounts; an event that carries no money does not look at them."""
    assert event_of(event, properties).value == value


@pytest.mark.parametrize(
    ("event", "properties", "reference"),
    [
        ("Order Refunded", {"order_id": "o"}, "o"),
        ("Subscription Cancelled", {"subscription_id": 5, "order_id": "o"}, "5"),
        ("Payment Failed", {"order_id": "o"}, "o"),
        ("Conversation Completed", {"conversation_id": "c", "channel": "chat"}, "c"),
        ("Product Viewed", {"order_id": "o"}, None),
    ],
)
def test_reference_names_what_the_event_is_about(event: str, properties: dict[str, Any], reference: str | None) -> None:
    """An order, subscription or conversation id becomes the reference."""
    assert event_of(event, properties).reference == reference


def test_american_spelling_is_the_same_event() -> None:
    """A label on `Subscription Cancelled` also sees `Subscription Canceled`."""
    for alias, name in ALIASES.items():
        assert event_of(alias, {}) == event_of(name, {})


def test_user_id_comes_before_anonymous_id() -> None:
    """A known customer is never filed under the browser's id; a blank userId counts as none."""
    assert event_of("Signed In", {}, anonymousId="a").customer_id == "u"
    assert event_of("Signed In", {}, anonymousId="a", userId=" ").customer_id == "anonymous:a"


def test_limits_come_from_the_settings() -> None:
    """Size, depth and both ends of time are judged by the settings given."""
    raw = b'{"type":"page","userId":"u","timestamp":1736071200,"context":{"a":[[]]}}'
    usual = {"max_bytes": len(raw), "max_depth": 4, "earliest": "2025-01-05T10:00:00Z", "max_future_s": 0.0}

    def reason(now: float = 1736071200.0, **changed: Any) -> str | None:
        outcome = decode(raw, "clickstream", now, EventSettings(**(usual | changed)))
        return outcome.reason if isinstance(outcome, Rejection) else None

    assert reason() is None
    assert reason(max_bytes=len(raw) - 1) == "too_large"
    assert reason(max_depth=3) == "too_deep"
    assert reason(earliest="2025-01-05T10:00:01Z") == "ancient_time"
    assert reason(now=1736071199.0) == "future_time"


def test_wrong_setting_of_ours_is_not_blamed_on_the_event() -> None:
    """If the decoder itself fails, the rejection says so instead of raising."""
    raw = b'{"type":"page","userId":"u","timestamp":1736071200}'

    outcome = decode(raw, "clickstream", NOW, EventSettings(earliest="the beginning"))

    assert outcome == Rejection("internal_error", "ValueError")


def test_rejection_does_not_repeat_what_the_customer_said() -> None:
    """Details name fields, types and limits; texts of properties stay in the quarantined bytes."""
    outcome = decode_track("Conversation Completed", {"conversation_id": "c", "channel": 3, "turns": ["my secret"]})

    assert isinstance(outcome, Rejection)
    assert outcome.reason == "wrong_type"
    assert outcome.detail == "properties.channel: Expected `str | null`, got `int`"


@settings(max_examples=300)
@given(raw=st.binary(max_size=300), topic=st.sampled_from(TOPICS))
def test_arbitrary_bytes_never_raise(raw: bytes, topic: str) -> None:
    """Whatever the bytes, the outcome is an event or a rejection with a listed reason other than a defect."""
    _assert_total(decode(raw, topic, NOW, EventSettings()))


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
_names = st.sampled_from([*CATALOG, "Something Else"])
_types = st.sampled_from(["track", "page", "screen", "identify", "group", "alias"])
_STRUCTS = (
    wire.ProductProperties,
    wire.OrderProperties,
    wire.SubscriptionProperties,
    wire.TurnProperties,
    wire.RecordingProperties,
    wire.ConversationProperties,
)
_FIELDS = sorted({field for struct in _STRUCTS for field in struct.__struct_fields__})
_properties = st.dictionaries(
    st.sampled_from(_FIELDS),
    _values | st.lists(st.dictionaries(st.sampled_from(_FIELDS), _scalars, max_size=4), max_size=4),
    max_size=8,
)
_times = st.sampled_from(["2025-01-05T10:00:00Z", 1736071200, 1736071200123, 1e300, -1, "", "x"])
_events = st.fixed_dictionaries(
    {"type": _types | _values, "event": _names | _values, "userId": st.text(max_size=10) | _values},
    optional={
        "anonymousId": _values,
        "messageId": _values,
        "timestamp": _times | _values,
        "sentAt": _times,
        "originalTimestamp": _times,
        "receivedAt": _times,
        "properties": _properties | _values,
        "context": _values,
    },
)


@settings(max_examples=250)
@given(event=_values | _events, topic=st.sampled_from(TOPICS), ascii_only=st.booleans())
def test_arbitrary_json_never_raises(event: Any, topic: str, ascii_only: bool) -> None:
    """JSON of any shape, and events with any value in any field we read, are events or have a listed reason."""
    raw = json.dumps(event, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")

    _assert_total(decode(raw, topic, NOW, EventSettings()))


@settings(max_examples=100)
@given(
    name=_names.filter(lambda name: not name.islower()),
    junk=st.dictionaries(st.text(max_size=10).map("x_{}".format), _values.filter(lambda v: v == v), max_size=5),
)
def test_unknown_fields_change_nothing(name: str, junk: dict[str, Any]) -> None:
    """Fields that Ebbtide does not read, wherever they stand, leave the decoded event as it was."""
    properties = {"conversation_id": "c", "channel": "chat"}
    finite = json.loads(json.dumps(junk), parse_constant=lambda _: None)

    assert event_of(name, properties | finite, **finite) == event_of(name, properties)


def _assert_total(outcome: Event | Rejection) -> None:
    if isinstance(outcome, Rejection):
        assert outcome.reason in REASONS
        assert outcome.reason != "internal_error", outcome
    else:
        assert 0 < len(outcome.customer_id) <= 210
        assert all(0 <= number <= 1e16 for number in (outcome.value, outcome.discount, outcome.units))
        assert all(isinstance(number, float) for number in (outcome.value, outcome.discount, outcome.units))
        assert EventSettings().max_future_s + NOW >= outcome.time > 0


def test_catalog_is_consistent() -> None:
    """Every line names a public topic and a reader; every alias leads to a line."""
    for name, spec in CATALOG.items():
        assert spec.topic in PUBLIC_TOPICS, name
        assert spec.facts in READERS, name
    assert set(ALIASES.values()) <= set(CATALOG)
    assert not set(ALIASES) & set(CATALOG)
