"""The JSON that producers send, as far as Ebbtide reads it. Unknown fields are skipped.

The envelope leaves `properties` undecoded; which struct reads it depends on the event's name.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

# The extra JSON Schema only describes: the limits are enforced in `fields`, where a breach gets its own reason.
Id = Annotated[str | int | None, Meta(extra_json_schema={"maxLength": 200})]
Number = Annotated[int | float | str | None, Meta(extra_json_schema={"minimum": 0, "maximum": 1e12})]
Time = str | int | float | None


class Envelope(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The common fields of every call."""

    type: str | None = None
    event: str | None = None
    user_id: Id = None
    anonymous_id: Id = None
    message_id: Id = None
    timestamp: Time = None
    original_timestamp: Time = None
    sent_at: Time = None
    received_at: Time = None
    properties: msgspec.Raw = msgspec.Raw(b"null")


class NoFacts(msgspec.Struct, frozen=True, gc=False):
    """Properties that must be an object, but are not read."""


class ProductProperties(msgspec.Struct, frozen=True, gc=False):
    """One product, as an item of `products` or as the properties of a browsing event."""

    product_id: Id = None
    sku: Id = None
    name: Id = None
    quantity: Number = None


class OrderProperties(msgspec.Struct, frozen=True):
    """Order and checkout events."""

    order_id: Id = None
    revenue: Number = None
    total: Number = None
    value: Number = None
    discount: Number = None
    products: tuple[ProductProperties, ...] | None = None


class SubscriptionProperties(msgspec.Struct, frozen=True, gc=False):
    """Subscription and payment events. Whatever else a producer means by a reason, only text is read."""

    subscription_id: Id = None
    order_id: Id = None
    price: Number = None
    revenue: Number = None
    total: Number = None
    value: Number = None
    discount: Number = None
    quantity: Number = None
    product_id: Id = None
    sku: Id = None
    name: Id = None
    reason: Any = None
    cancellation_reason: Any = None


class TurnProperties(msgspec.Struct, frozen=True, gc=False):
    """One utterance of a transcript."""

    role: str | None = None
    text: str | None = None
    time: Time = None


class RecordingProperties(msgspec.Struct, frozen=True, gc=False):
    """Where a call's audio lies."""

    uri: str
    duration_s: Number = None


class ConversationProperties(msgspec.Struct, frozen=True):
    """`Conversation Completed`. `turns` may also be called `transcript`."""

    conversation_id: Id = None
    channel: str | None = None
    started_at: Time = None
    ended_at: Time = None
    agent: Id = None
    queue: Id = None
    turns: tuple[TurnProperties, ...] | None = None
    transcript: tuple[TurnProperties, ...] | None = None
    recording: RecordingProperties | None = None
    resolved: bool | None = None
    rating: Number = None
