"""One event on its way to the broker, and how raw bytes find their topic, key and time."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from models.events.catalog import ALIASES, CALLS, CATALOG, CLICKSTREAM
from models.events.clock import event_time
from models.events.decode import ANONYMOUS_PREFIX
from models.events.fields import identifier
from models.events.reasons import Refused
from models.events.wire import Envelope

_envelope = msgspec.json.Decoder(Envelope).decode


class SourceError(RuntimeError):
    """A source cannot be read; the message says which one, how far it was read and what is allowed."""


class SourceEvent(NamedTuple):
    """One record to send.

    `topic` is the logical name, `key` the customer id (None if the bytes tell none), `time` epoch seconds.
    """

    topic: str
    key: str | None
    time: float
    raw: bytes


def address(raw: bytes, otherwise: float) -> SourceEvent:
    """Where the bytes of an event belong. Total: never raises.

    The topic is that of the event's name in the catalog. What cannot be read, or is not known, goes to the clickstream,
    where the decoder judges it and nothing is lost. `otherwise` is the time (epoch seconds) of an
    event that tells none.
    """
    try:
        envelope = _envelope(raw)
    # RecursionError: nesting deeper than the parser follows.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return SourceEvent(CLICKSTREAM, None, otherwise, raw)
    return SourceEvent(_topic(envelope), _key(envelope), _time(envelope, otherwise), raw)


def _topic(envelope: Envelope) -> str:
    name = envelope.event if envelope.type == "track" else envelope.type
    if name is None or (name in CALLS) != (envelope.type != "track"):
        return CLICKSTREAM
    spec = CATALOG.get(ALIASES.get(name, name))
    return CLICKSTREAM if spec is None else spec.topic


def _key(envelope: Envelope) -> str | None:
    try:
        user_id = identifier(envelope.user_id, "userId")
        if user_id is not None:
            return user_id
        anonymous_id = identifier(envelope.anonymous_id, "anonymousId")
    except Refused:
        return None
    return None if anonymous_id is None else ANONYMOUS_PREFIX + anonymous_id


def _time(envelope: Envelope, otherwise: float) -> float:
    try:
        return event_time(envelope.timestamp, envelope.original_timestamp, envelope.sent_at, envelope.received_at)
    except Refused:
        return otherwise
