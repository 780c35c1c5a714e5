"""Events that producers really send by mistake, and some that nobody should send: each with what must become of it.

All times lie in the past or absurdly far ahead, so the outcomes do not depend on the clock of the test. Customers are
named `hostile-...` and differ between entries, except where an entry repeats the one before.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from models.events.catalog import CLICKSTREAM, CONTACT_CENTER, PURCHASES

PROCESSED = "processed"
DUPLICATE = "duplicate"

WHEN = "2025-01-05T10:00:00Z"


class HostileEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One record to send, in this order, and its outcome: `processed`, `duplicate` or a code of REASONS.

    `customer_id` is whose state a processed event belongs to, None for a refused one.
    """

    name: str
    topic: str
    raw: bytes | None
    expected: str
    key: bytes | None = None
    customer_id: str | None = None


def _json(**fields: Any) -> bytes:
    return json.dumps({"timestamp": WHEN} | fields, ensure_ascii=False).encode()


def _click(user: Any = "hostile-refused", **fields: Any) -> bytes:
    return _json(**({"type": "page", "userId": user} | fields))


def _track(event: str, properties: Any, user: str = "hostile-refused") -> bytes:
    return _json(type="track", event=event, userId=user, properties=properties)


def _conversation(user: str = "hostile-refused", **properties: Any) -> bytes:
    usual = {"conversation_id": "c-1", "channel": "chat", "turns": [{"role": "customer", "text": "hello"}]}
    return _track("Conversation Completed", usual | properties, user)


def _good(name: str, topic: str, raw: bytes, customer: str, *, keyed: bool = True) -> HostileEvent:
    key = customer.encode() if keyed else None
    return HostileEvent(name=name, topic=topic, raw=raw, expected=PROCESSED, key=key, customer_id=customer)


def _bad(reason: str, name: str, topic: str, raw: bytes | None) -> HostileEvent:
    return HostileEvent(name=name, topic=topic, raw=raw, expected=reason)


_REPEATED = _click("hostile-repeated", messageId="hostile-message-1")
_DEEP_VALID = '{"a":' * 29 + "1" + "}" * 29

_BYTES = (
    HostileEvent(name="tombstone", topic=CLICKSTREAM, raw=None, expected="tombstone", key=b"hostile-tombstone"),
    _bad("empty", "no bytes", CLICKSTREAM, b""),
    _bad("empty", "only white space", CLICKSTREAM, b" \n\t "),
    _bad("too_large", "two megabytes", CLICKSTREAM, _click(context={"page": {"title": "x" * 2_000_000}})),
    _bad("not_utf8", "latin-1 in an unread field", CLICKSTREAM, _click(name="caf").replace(b"caf", b"caf\xe9")),
    _bad("not_utf8", "random bytes", PURCHASES, bytes(range(256))),
    _bad("not_utf8", "gzip", CLICKSTREAM, b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV*\xc9,HU\xb2R"),
    _bad("malformed_json", "cut off", CLICKSTREAM, _click()[:-9]),
    _bad("malformed_json", "two documents", CLICKSTREAM, _click() + _click()),
    _bad("malformed_json", "NaN", PURCHASES, _track("Order Completed", {"revenue": float("nan")})),
    _bad("malformed_json", "Infinity in an unread field", CLICKSTREAM, _click(context={"x": float("inf")})),
    _bad("malformed_json", "half a surrogate pair", CLICKSTREAM, b'{"type":"page","userId":"\\ud83d"}'),
    _bad("malformed_json", "raw NUL in a text", CLICKSTREAM, b'{"type":"page","userId":"a\x00b"}'),
    _bad("malformed_json", "python repr", CLICKSTREAM, b"{'type': 'page', 'userId': 'u'}"),
    _bad("malformed_json", "html error page", CLICKSTREAM, b"<html><body>502 Bad Gateway</body></html>"),
    _bad("too_deep", "33 levels", CLICKSTREAM, _click(context=json.loads('{"a":' * 32 + "1" + "}" * 32))),
    _bad("too_deep", "200,000 levels", CLICKSTREAM, b'{"type":"page","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    _bad("not_an_object", "array", CLICKSTREAM, b"[" + _click() + b"]"),
    _bad("not_an_object", "number", CLICKSTREAM, b"42"),
    _bad("not_an_object", "null literal", PURCHASES, b"null"),
    _bad("not_an_object", "JSON inside a JSON text", CLICKSTREAM, json.dumps(_click().decode()).encode()),
)

_WHO = (
    _bad("missing_id", "no ids", CLICKSTREAM, _json(type="page")),
    _bad("missing_id", "blank ids", CLICKSTREAM, _json(type="page", userId="  ", anonymousId=None)),
    _bad("wrong_type", "userId true", CLICKSTREAM, _click(True)),
    _bad("wrong_type", "userId 1.5", CLICKSTREAM, _click(1.5)),
    _bad("wrong_type", "userId object", CLICKSTREAM, _click({"id": 7})),
    _bad("wrong_type", "messageId array", CLICKSTREAM, _click(messageId=["m"])),
    _bad("too_long", "userId of 201 characters", CLICKSTREAM, _click("u" * 201)),
    _bad("too_long", "userId of 5,000 digits", CLICKSTREAM, b'{"type":"page","userId":' + b"9" * 5000 + b"}"),
    _bad("bad_id", "NUL escape in userId", CLICKSTREAM, _click("a\x00b")),
    _bad("bad_id", "userId that poses as anonymous", CLICKSTREAM, _click("anonymous:someone")),
    _good("integer userId", CLICKSTREAM, _click(9007199254740993), "9007199254740993"),
    _good("emoji userId", CLICKSTREAM, _click("hostile-👩‍👩‍👧-🦊"), "hostile-👩‍👩‍👧-🦊"),
    _good("right-to-left userId", CLICKSTREAM, _click("hostile-\u200fלקוחה-عميل"), "hostile-\u200fלקוחה-عميل"),
    _good("only an anonymousId", CLICKSTREAM, _json(type="page", anonymousId="hostile-a"), "anonymous:hostile-a"),
    _good("userId of 200 characters", CLICKSTREAM, _click("hostile-" + "u" * 192), "hostile-" + "u" * 192),
    _good("no record key", CLICKSTREAM, _click("hostile-unkeyed"), "hostile-unkeyed", keyed=False),
    _good("first of a repeated message", CLICKSTREAM, _REPEATED, "hostile-repeated"),
    HostileEvent(
        name="the same messageId again",
        topic=CLICKSTREAM,
        raw=_REPEATED,
        expected=DUPLICATE,
        key=b"hostile-repeated",
        customer_id="hostile-repeated",
    ),
)

_WHEN = (
    _bad("missing_time", "no time", CLICKSTREAM, b'{"type":"page","userId":"hostile-refused"}'),
    _bad("bad_time", "words", CLICKSTREAM, _click(timestamp="yesterday")),
    _bad("bad_time", "time true", CLICKSTREAM, _click(timestamp=True)),
    _bad("bad_time", "digits in quotes", CLICKSTREAM, _click(timestamp="1736071200")),
    _bad("bad_time", "30 February", CLICKSTREAM, _click(timestamp="2025-02-30T00:00:00Z")),
    _bad("bad_time", "time of 1e400", CLICKSTREAM, b'{"type":"page","userId":"u","timestamp":1e400}'),
    _bad("future_time", "year 2999", CLICKSTREAM, _click(timestamp="2999-01-01T00:00:00Z")),
    _bad("future_time", "microseconds", CLICKSTREAM, _click(timestamp=1736071200000000)),
    _bad("ancient_time", "1970", CLICKSTREAM, _click(timestamp="1970-01-01T00:00:00Z")),
    _bad("ancient_time", "epoch 0", CLICKSTREAM, _click(timestamp=0)),
    _good("epoch milliseconds", CLICKSTREAM, _click("hostile-ms", timestamp=1736071200123), "hostile-ms"),
    _good("epoch seconds", CLICKSTREAM, _click("hostile-s", timestamp=1736071200.5), "hostile-s"),
    _good("time without zone", CLICKSTREAM, _click("hostile-zone", timestamp="2025-01-05 10:00:00"), "hostile-zone"),
    _good(
        "client clock far ahead, corrected by the server's",
        CLICKSTREAM,
        _click(
            "hostile-skew",
            timestamp=None,
            originalTimestamp="2999-01-01T00:00:00Z",
            sentAt="2999-01-01T00:00:05Z",
            receivedAt="2025-01-05T10:00:05Z",
        ),
        "hostile-skew",
    ),
)

_WHAT = (
    _bad("unknown_type", "no type", CLICKSTREAM, _json(userId="hostile-refused")),
    _bad("unknown_type", "type delete", CLICKSTREAM, _click(type="delete")),
    _bad("wrong_type", "type 7", CLICKSTREAM, _click(type=7)),
    _bad("missing_event", "track without event", CLICKSTREAM, _json(type="track", userId="hostile-refused")),
    _bad("unknown_event", "unknown name on purchases", PURCHASES, _track("Ordre Complété", {})),
    _bad("unknown_event", "unknown name on contact_center", CONTACT_CENTER, _track("Call Started", {})),
    _bad("wrong_topic", "order on clickstream", CLICKSTREAM, _track("Order Completed", {"revenue": 1})),
    _bad("wrong_topic", "page on purchases", PURCHASES, _click()),
    _bad("wrong_type", "properties is a text", CLICKSTREAM, _click(properties="path=/")),
    _bad("wrong_type", "properties is an array", PURCHASES, _track("Order Completed", [1])),
    _bad("wrong_type", "revenue true", PURCHASES, _track("Order Completed", {"revenue": True})),
    _bad("wrong_type", "products is a text", PURCHASES, _track("Order Completed", {"products": "p1,p2"})),
    _bad("bad_number", "negative revenue", PURCHASES, _track("Order Completed", {"revenue": -1})),
    _bad("bad_number", "revenue in words", PURCHASES, _track("Order Completed", {"revenue": "12,50 €"})),
    _bad("bad_number", "revenue 'NaN'", PURCHASES, _track("Order Completed", {"revenue": "NaN"})),
    _bad("bad_number", "revenue '1e400'", PURCHASES, _track("Order Completed", {"revenue": "1e400"})),
    _bad(
        "bad_number",
        "revenue 1e400",
        PURCHASES,
        _track("Order Completed", {"revenue": "@"}).replace(b'"@"', b"1e400"),
    ),
    _bad("bad_number", "revenue of 400 digits", PURCHASES, _track("Order Completed", {"revenue": 10**400})),
    _bad("bad_number", "negative quantity", PURCHASES, _track("Order Completed", {"products": [{"quantity": -2}]})),
    _good("unknown browsing track", CLICKSTREAM, _track("Tried 'On' 🧦", {}, "hostile-other"), "hostile-other"),
    _good(
        "money in quotes",
        PURCHASES,
        _track("Order Completed", {"revenue": "12.50", "products": [{"sku": 7, "quantity": "2"}]}, "hostile-quoted"),
        "hostile-quoted",
    ),
    _good("null properties", PURCHASES, _track("Subscription Renewed", None, "hostile-null"), "hostile-null"),
    _good(
        "key given twice, the last wins",
        CLICKSTREAM,
        b'{"type":"page","userId":"x","timestamp":"%s","userId":"hostile-twice"}' % WHEN.encode(),
        "hostile-twice",
    ),
    _good("byte order mark", CLICKSTREAM, b"\xef\xbb\xbf" + _click("hostile-bom"), "hostile-bom"),
    _good(
        "just deep enough",
        CLICKSTREAM,
        _click("hostile-deep", context={"a": json.loads(_DEEP_VALID)}),
        "hostile-deep",
    ),
    _good(
        "20,000 brackets in a text",
        CLICKSTREAM,
        _click("hostile-brackets", context={"title": "[{" * 10_000}),
        "hostile-brackets",
    ),
)

_CONVERSATIONS = (
    _bad("bad_conversation", "no conversation id", CONTACT_CENTER, _conversation(conversation_id=None)),
    _bad("bad_conversation", "channel fax", CONTACT_CENTER, _conversation(channel="fax")),
    _bad("wrong_type", "turns is a text", CONTACT_CENTER, _conversation(turns="hello")),
    _bad("wrong_type", "a turn is a text", CONTACT_CENTER, _conversation(turns=["hello"])),
    _bad("wrong_type", "turn text is a number", CONTACT_CENTER, _conversation(turns=[{"role": "customer", "text": 5}])),
    _bad("wrong_type", "resolved in words", CONTACT_CENTER, _conversation(resolved="yes")),
    _bad("wrong_type", "recording without uri", CONTACT_CENTER, _conversation(recording={"duration_s": 5})),
    _bad("bad_time", "turn time in words", CONTACT_CENTER, _conversation(turns=[{"text": "hi", "time": "noon"}])),
    _bad("bad_number", "rating below 0", CONTACT_CENTER, _conversation(rating=-1)),
    _good("no transcript", CONTACT_CENTER, _conversation("hostile-silent", turns=None), "hostile-silent"),
    _good(
        "3,000 turns, the newest 2,000 kept",
        CONTACT_CENTER,
        _conversation("hostile-long", turns=[{"role": "visitor", "text": f"turn {i}"} for i in range(3000)]),
        "hostile-long",
    ),
)

#: All of them, in the order of sending.
HOSTILE: tuple[HostileEvent, ...] = _BYTES + _WHO + _WHEN + _WHAT + _CONVERSATIONS
