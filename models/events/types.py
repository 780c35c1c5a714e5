"""The typed event: what every decoder produces and every feature reads."""

from __future__ import annotations

import msgspec


class Turn(msgspec.Struct, frozen=True, gc=False):
    """One utterance. `role` is customer, agent or system; `time` is epoch seconds, None if unknown."""

    role: str
    text: str
    time: float | None = None


class Recording(msgspec.Struct, frozen=True, gc=False):
    """Where a call's audio lies. The bytes never travel on Kafka."""

    uri: str
    duration_s: float | None = None


class Conversation(msgspec.Struct, frozen=True):
    """One finished chat, call or e-mail exchange. Times are epoch seconds."""

    conversation_id: str
    channel: str
    started_at: float | None = None
    ended_at: float | None = None
    agent: str | None = None
    queue: str | None = None
    turns: tuple[Turn, ...] = ()
    recording: Recording | None = None
    resolved: bool | None = None
    rating: float | None = None


class Event(msgspec.Struct, frozen=True):
    """One decoded event.

    `name` is the event's public name (`Order Completed`; `page`, `screen` and `identify` for the calls
    of that type), `effect` the catalog's constant that features dispatch on, `time` the event time in
    epoch seconds after clock-skew correction. Money is in the event's own currency, positive. `cause` is why a
    subscription ended or a payment failed, as the producer words it.
    """

    name: str
    effect: str
    customer_id: str
    time: float
    message_id: str | None = None
    value: float = 0.0
    discount: float = 0.0
    units: float = 0.0
    products: tuple[str, ...] = ()
    reference: str | None = None
    conversation: Conversation | None = None
    cause: str | None = None


class Rejection(msgspec.Struct, frozen=True):
    """Why bytes did not become an event. `reason` is one of `models.events.decode.REASONS`."""

    reason: str
    detail: str
