"""The facts of an event: one reader per kind of properties, named by `EventSpec.facts`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from models.events import wire
from models.events.conversation import read_conversation
from models.events.fields import first_id, first_number, identifier, number
from models.events.types import Conversation

#: Product ids kept per event; units count all products.
MAX_PRODUCTS: Final = 1000
#: Characters kept of the cause of a cancellation.
MAX_CAUSE: Final = 64


class Facts(msgspec.Struct, frozen=True):
    """What features read of the properties; the fields are those of `models.events.types.Event`."""

    value: float = 0.0
    discount: float = 0.0
    units: float = 0.0
    products: tuple[str, ...] = ()
    reference: str | None = None
    conversation: Conversation | None = None
    cause: str | None = None


NOTHING: Final = Facts()


def _none(_: wire.NoFacts) -> Facts:
    return NOTHING


def _product(properties: wire.ProductProperties) -> Facts:
    product = _product_id(properties)
    return Facts(units=_quantity(properties), products=() if product is None else (product,))


def _order(properties: wire.OrderProperties) -> Facts:
    value = first_number(
        (properties.revenue, "properties.revenue"),
        (properties.total, "properties.total"),
        (properties.value, "properties.value"),
    )
    return _order_facts(properties, value)


def _refund(properties: wire.OrderProperties) -> Facts:
    # A refund gives back shipping and tax too, so its total comes before its revenue.
    value = first_number(
        (properties.total, "properties.total"),
        (properties.revenue, "properties.revenue"),
        (properties.value, "properties.value"),
    )
    return _order_facts(properties, value)


def _order_facts(properties: wire.OrderProperties, value: float) -> Facts:
    products = properties.products or ()
    ids = (_product_id(product) for product in products[:MAX_PRODUCTS])
    return Facts(
        value=value,
        discount=first_number((properties.discount, "properties.discount")),
        units=sum((_quantity(product) for product in products), 0.0),
        products=tuple(product for product in ids if product is not None),
        reference=first_id((properties.order_id, "properties.order_id")),
    )


def _subscription(properties: wire.SubscriptionProperties) -> Facts:
    product = _product_id(properties)
    return Facts(
        value=first_number(
            (properties.price, "properties.price"),
            (properties.revenue, "properties.revenue"),
            (properties.total, "properties.total"),
            (properties.value, "properties.value"),
        ),
        discount=first_number((properties.discount, "properties.discount")),
        units=_quantity(properties),
        products=() if product is None else (product,),
        reference=first_id(
            (properties.subscription_id, "properties.subscription_id"), (properties.order_id, "properties.order_id")
        ),
        cause=_cause(properties),
    )


def _payment(properties: wire.SubscriptionProperties) -> Facts:
    return Facts(
        value=first_number(
            (properties.revenue, "properties.revenue"),
            (properties.total, "properties.total"),
            (properties.value, "properties.value"),
            (properties.price, "properties.price"),
        ),
        reference=first_id(
            (properties.subscription_id, "properties.subscription_id"), (properties.order_id, "properties.order_id")
        ),
        cause=_cause(properties),
    )


def _cause(properties: wire.SubscriptionProperties) -> str | None:
    for cause in (properties.cancellation_reason, properties.reason):
        if cause and isinstance(cause, str):
            return cause[:MAX_CAUSE]
    return None


def _conversation(properties: wire.ConversationProperties) -> Facts:
    conversation = read_conversation(properties)
    return Facts(reference=conversation.conversation_id, conversation=conversation)


def _product_id(product: wire.ProductProperties | wire.SubscriptionProperties) -> str | None:
    # `or` and not first_id: this runs for every product of every order.
    return (
        identifier(product.product_id, "properties.product_id")
        or identifier(product.sku, "properties.sku")
        or identifier(product.name, "properties.name")
    )


def _quantity(product: wire.ProductProperties | wire.SubscriptionProperties) -> float:
    quantity = number(product.quantity, "properties.quantity")
    return 1.0 if quantity is None else quantity


class _Reader:
    """Decodes the properties with one struct, then turns them into facts."""

    def __init__(self, struct: type[msgspec.Struct], read: Callable[[Any], Facts]) -> None:
        self._decode = msgspec.json.Decoder(struct | None).decode
        self._read = read

    def __call__(self, properties: msgspec.Raw) -> Facts:
        decoded = self._decode(properties)
        return NOTHING if decoded is None else self._read(decoded)


#: Kind of properties -> reader. A reader raises `Refused` or `msgspec.ValidationError` (path within the properties).
READERS: Final[dict[str, Callable[[msgspec.Raw], Facts]]] = {
    "none": _Reader(wire.NoFacts, _none),
    "product": _Reader(wire.ProductProperties, _product),
    "order": _Reader(wire.OrderProperties, _order),
    "refund": _Reader(wire.OrderProperties, _refund),
    "subscription": _Reader(wire.SubscriptionProperties, _subscription),
    "payment": _Reader(wire.SubscriptionProperties, _payment),
    "conversation": _Reader(wire.ConversationProperties, _conversation),
}
