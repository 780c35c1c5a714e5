"""Bytes of a topic to a typed event, or to the reason why not."""

from __future__ import annotations

import re
from typing import Final, NoReturn

import msgspec

from models.events.catalog import (
    ALIASES,
    CALLS,
    CATALOG,
    CLICKSTREAM,
    PUBLIC_TOPICS,
    REROUTED,
    UNKNOWN_TRACK,
    EventSpec,
)
from models.events.clock import earliest_time, event_time
from models.events.facts import READERS, Facts
from models.events.fields import MAX_ID_CHARS, identifier
from models.events.reasons import REASONS, Refused, quoted
from models.events.types import Event, Rejection
from models.events.wire import Envelope
from models.settings import EventSettings

__all__ = ["ANONYMOUS_PREFIX", "REASONS", "decode"]

#: Customer ids made from an anonymousId begin with this; a userId must not.
ANONYMOUS_PREFIX: Final = "anonymous:"

_envelope = msgspec.json.Decoder(Envelope).decode

_BRACE = ord("{")
_BOM = b"\xef\xbb\xbf"
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_BRACKETS = bytes.maketrans(b"{}[]", b"()()")
_NO_BRACKETS = bytes(sorted(set(range(256)) - set(b"{}[]")))
_PATH = re.compile(r"`\$([^`]*)`$")
_TIMES = frozenset({"timestamp", "originalTimestamp", "sentAt", "receivedAt", "started_at", "ended_at", "time"})
_NUMBERS = frozenset({"revenue", "total", "value", "price", "discount", "quantity", "duration_s", "rating"})


def decode(raw: bytes | None, topic: str, now: float, settings: EventSettings) -> Event | Rejection:
    """Decode one record value. Total: whatever the bytes are, it returns and never raises.

    Parameters
    ----------
    raw
        The value of the record; None for a tombstone.
    topic
        Logical name of the topic it came from. `rerouted` takes every event, a public topic its own.
    now
        The present in epoch seconds, against which future times are judged.
    settings
        Limits on size, depth and time.

    Returns
    -------
    Event | Rejection
        The event, or a rejection with one of `REASONS` and a detail that is fit for a log.
    """
    try:
        return _decode(raw, topic, now, settings)
    except Refused as refused:
        return Rejection(refused.reason, refused.detail)
    except Exception as error:  # noqa: BLE001 - the stream must go on, whatever this decoder has overlooked
        return Rejection("internal_error", type(error).__name__)


def _decode(raw: bytes | None, topic: str, now: float, settings: EventSettings) -> Event:
    # 1. Is it one JSON object of a decent size?
    envelope = _parse(_checked(raw, settings), settings)
    # 2. Which event, and is it allowed here?
    name = envelope.event if envelope.type == "track" else None
    spec = CATALOG.get(name) if name else None
    if name is None or spec is None or spec.topic != topic:
        name, spec = _kind(envelope, topic)
    # 3. Whose, and when?
    customer_id = _customer(envelope)
    message_id = identifier(envelope.message_id, "messageId")
    time = event_time(envelope.timestamp, envelope.original_timestamp, envelope.sent_at, envelope.received_at)
    if not earliest_time(settings.earliest) <= time <= now + settings.max_future_s:
        _refuse_time(time, now, settings)
    # 4. What does it say?
    facts = _facts(envelope, spec)
    return Event(
        name,
        spec.effect,
        customer_id,
        time,
        message_id,
        facts.value,
        facts.discount,
        facts.units,
        facts.products,
        facts.reference,
        facts.conversation,
        facts.cause,
    )


def _checked(raw: bytes | None, settings: EventSettings) -> bytes:
    if raw and raw[0] == _BRACE and len(raw) <= settings.max_bytes and raw.isascii():
        return raw
    if raw is None:
        raise Refused("tombstone", REASONS["tombstone"])
    if len(raw) > settings.max_bytes:
        raise Refused("too_large", f"{len(raw)} bytes (allowed: {settings.max_bytes})")
    if not raw or raw.isspace():
        raise Refused("empty", f"{len(raw)} bytes, no text")
    if not raw.isascii():
        # msgspec does not look into the text of fields that it skips.
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            raise Refused("not_utf8", f"byte {error.start}: {error.reason}") from None
    return raw.removeprefix(_BOM)


def _parse(raw: bytes, settings: EventSettings) -> Envelope:
    try:
        envelope = _envelope(raw)
    except msgspec.ValidationError as error:
        _refuse_type(str(error), "")
    except msgspec.DecodeError as error:
        detail = "an escape is half of a surrogate pair, or the data ends early" if "truncated" in str(error) else error
        raise Refused("malformed_json", f"{detail}") from None
    except RecursionError:
        raise Refused("too_deep", f"nested beyond the decoder (allowed: {settings.max_depth})") from None
    if raw.count(b"{") + raw.count(b"[") > settings.max_depth and _deeper(raw, settings.max_depth):
        raise Refused("too_deep", f"nested deeper than {settings.max_depth}")
    return envelope


def _deeper(raw: bytes, depth: int) -> bool:
    """Whether valid JSON is nested deeper than `depth`: peel the innermost pairs off, one level each time."""
    brackets = _STRINGS.sub(b"", raw).translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(depth):
        brackets = brackets.replace(b"()", b"")
    return bool(brackets)


def _refuse_type(message: str, prefix: str) -> NoReturn:
    """Turn msgspec's message (types and a path, never a value) into a reason."""
    match = _PATH.search(message)
    path = prefix + (match[1] if match else "")
    if not path:
        raise Refused("not_an_object", message)
    field = path.rpartition(".")[2]
    detail = f"{path.lstrip('.')}: {message.partition(' - at ')[0]}"
    if field in _TIMES:
        raise Refused("bad_time", detail)
    if "out of range" in message:
        raise Refused("bad_number" if field in _NUMBERS else "too_long", detail)
    raise Refused("wrong_type", detail)


def _kind(envelope: Envelope, topic: str) -> tuple[str, EventSpec]:
    name = envelope.type
    if name == "track":
        return _track(envelope.event, topic)
    spec = CALLS.get(name) if name else None
    if name is None or spec is None:
        shown = "missing" if name is None else quoted(name)
        raise Refused("unknown_type", f"type is {shown} (allowed: track, {', '.join(CALLS)})")
    _check_topic(name, spec, topic)
    return name, spec


def _track(event: str | None, topic: str) -> tuple[str, EventSpec]:
    if not event or event.isspace():
        raise Refused("missing_event", "event is missing")
    name = ALIASES.get(event, event)
    spec = CATALOG.get(name)
    if spec is not None:
        _check_topic(name, spec, topic)
        return name, spec
    if len(name) > MAX_ID_CHARS:
        raise Refused("too_long", f"event: {len(name)} characters (allowed: {MAX_ID_CHARS})")
    if topic not in (CLICKSTREAM, REROUTED):
        raise Refused("unknown_event", f"{quoted(name)} is not an event of {topic}")
    return name, UNKNOWN_TRACK


def _check_topic(name: str, spec: EventSpec, topic: str) -> None:
    if topic != spec.topic and topic != REROUTED:
        known = "" if topic in PUBLIC_TOPICS else " (not a topic of events)"
        raise Refused("wrong_topic", f"{name} belongs on {spec.topic}, not {topic}{known}")


def _customer(envelope: Envelope) -> str:
    user_id = identifier(envelope.user_id, "userId")
    if user_id is not None:
        if user_id.startswith(ANONYMOUS_PREFIX):
            raise Refused("bad_id", f"userId: {quoted(user_id)} begins with {ANONYMOUS_PREFIX!r}, which is reserved")
        return user_id
    anonymous_id = identifier(envelope.anonymous_id, "anonymousId")
    if anonymous_id is None:
        raise Refused("missing_id", "neither userId nor anonymousId is given")
    return ANONYMOUS_PREFIX + anonymous_id


def _refuse_time(time: float, now: float, settings: EventSettings) -> NoReturn:
    if time > now + settings.max_future_s:
        raise Refused("future_time", f"{time - now:.0f} s after the present (allowed: {settings.max_future_s:.0f} s)")
    raise Refused("ancient_time", f"{time:.0f} s since the epoch is before {settings.earliest}")


def _facts(envelope: Envelope, spec: EventSpec) -> Facts:
    try:
        return READERS[spec.facts](envelope.properties)
    except msgspec.ValidationError as error:
        _refuse_type(str(error), ".properties")
