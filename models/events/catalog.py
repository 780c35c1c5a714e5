"""The one table of events: name -> topic, effect on the features, and which facts its properties carry.

Names follow Segment's e-commerce specification v2 and its B2B SaaS and e-mail families. There is no official
family for subscriptions; the names of Littledata's Shopify source are the documented precedent, and are used here.
A new event is one line here.
"""

from __future__ import annotations

from typing import Final

import msgspec

CLICKSTREAM: Final = "clickstream"
PURCHASES: Final = "purchases"
CONTACT_CENTER: Final = "contact_center"
REROUTED: Final = "rerouted"

#: The topics that producers write to.
PUBLIC_TOPICS: Final = (CLICKSTREAM, PURCHASES, CONTACT_CENTER)

# Effects: what features dispatch on.
PAGE: Final = "page"
SCREEN: Final = "screen"
VIEW: Final = "view"
SEARCH: Final = "search"
CART: Final = "cart"
CHECKOUT: Final = "checkout"
OTHER: Final = "other"
IDENTIFY: Final = "identify"
"""Says who the customer is (identify, group, alias); nothing the customer did."""
MESSAGE: Final = "message"
"""Something was sent to the customer, or bounced; nothing the customer did."""
ORDER: Final = "order"
REFUND: Final = "refund"
ORDER_CANCEL: Final = "order_cancel"
SUB_START: Final = "sub_start"
SUB_RENEW: Final = "sub_renew"
SUB_CANCEL: Final = "sub_cancel"
PAYMENT_FAILED: Final = "payment_failed"
PAYMENT_OK: Final = "payment_ok"
UPDATE: Final = "update"
"""Something known changed (an order, a plan, a card). It counts for no feature, but a label may name it."""
CONVERSATION: Final = "conversation"


class EventSpec(msgspec.Struct, frozen=True):
    """One line of the table. `facts` names the reader in `models.events.facts` for the event's properties."""

    topic: str
    effect: str
    facts: str = "none"


CALLS: Final[dict[str, EventSpec]] = {
    "page": EventSpec(CLICKSTREAM, PAGE),
    "screen": EventSpec(CLICKSTREAM, SCREEN),
    "identify": EventSpec(CLICKSTREAM, IDENTIFY),
    "group": EventSpec(CLICKSTREAM, IDENTIFY),
    "alias": EventSpec(CLICKSTREAM, IDENTIFY),
}
"""Calls whose `type` is their name; a `track` call is named by its `event`."""

_BROWSING: Final[dict[str, EventSpec]] = {
    "Products Searched": EventSpec(CLICKSTREAM, SEARCH),
    "Product List Viewed": EventSpec(CLICKSTREAM, VIEW),
    "Product List Filtered": EventSpec(CLICKSTREAM, VIEW),
    "Product Clicked": EventSpec(CLICKSTREAM, VIEW, "product"),
    "Product Viewed": EventSpec(CLICKSTREAM, VIEW, "product"),
    "Product Added": EventSpec(CLICKSTREAM, CART, "product"),
    "Product Removed": EventSpec(CLICKSTREAM, CART, "product"),
    "Wishlist Product Added to Cart": EventSpec(CLICKSTREAM, CART, "product"),
    "Cart Viewed": EventSpec(CLICKSTREAM, CART),
    "Checkout Started": EventSpec(CLICKSTREAM, CHECKOUT, "order"),
    "Checkout Step Viewed": EventSpec(CLICKSTREAM, CHECKOUT),
    "Checkout Step Completed": EventSpec(CLICKSTREAM, CHECKOUT),
    "Payment Info Entered": EventSpec(CLICKSTREAM, CHECKOUT),
    "Promotion Viewed": EventSpec(CLICKSTREAM, OTHER),
    "Promotion Clicked": EventSpec(CLICKSTREAM, OTHER),
    "Coupon Entered": EventSpec(CLICKSTREAM, OTHER),
    "Coupon Applied": EventSpec(CLICKSTREAM, OTHER),
    "Coupon Denied": EventSpec(CLICKSTREAM, OTHER),
    "Coupon Removed": EventSpec(CLICKSTREAM, OTHER),
    "Product Added to Wishlist": EventSpec(CLICKSTREAM, OTHER, "product"),
    "Product Removed from Wishlist": EventSpec(CLICKSTREAM, OTHER, "product"),
    "Product Shared": EventSpec(CLICKSTREAM, OTHER, "product"),
    "Product Reviewed": EventSpec(CLICKSTREAM, OTHER, "product"),
    "Cart Shared": EventSpec(CLICKSTREAM, OTHER),
}

_ACCOUNT: Final[dict[str, EventSpec]] = {
    "Signed Up": EventSpec(CLICKSTREAM, OTHER),
    "Signed In": EventSpec(CLICKSTREAM, OTHER),
    "Signed Out": EventSpec(CLICKSTREAM, OTHER),
    "Account Created": EventSpec(CLICKSTREAM, OTHER),
    "Account Deleted": EventSpec(CLICKSTREAM, OTHER),
    "Account Added User": EventSpec(CLICKSTREAM, OTHER),
    "Account Removed User": EventSpec(CLICKSTREAM, OTHER),
    "Invite Sent": EventSpec(CLICKSTREAM, OTHER),
    "Trial Started": EventSpec(CLICKSTREAM, OTHER),
    "Trial Ended": EventSpec(CLICKSTREAM, OTHER),
    "Email Delivered": EventSpec(CLICKSTREAM, MESSAGE),
    "Email Bounced": EventSpec(CLICKSTREAM, MESSAGE),
    "Email Opened": EventSpec(CLICKSTREAM, OTHER),
    "Email Link Clicked": EventSpec(CLICKSTREAM, OTHER),
    "Email Marked as Spam": EventSpec(CLICKSTREAM, OTHER),
    "Unsubscribed": EventSpec(CLICKSTREAM, OTHER),
}

_MONEY: Final[dict[str, EventSpec]] = {
    "Order Completed": EventSpec(PURCHASES, ORDER, "order"),
    "Order Updated": EventSpec(PURCHASES, UPDATE, "order"),
    "Order Refunded": EventSpec(PURCHASES, REFUND, "refund"),
    "Order Cancelled": EventSpec(PURCHASES, ORDER_CANCEL, "order"),
    "Subscription Started": EventSpec(PURCHASES, SUB_START, "subscription"),
    "Subscription Created": EventSpec(PURCHASES, SUB_START, "subscription"),
    "Subscription Renewed": EventSpec(PURCHASES, SUB_RENEW, "subscription"),
    "Subscription Updated": EventSpec(PURCHASES, UPDATE, "subscription"),
    "Subscription Paused": EventSpec(PURCHASES, UPDATE, "subscription"),
    "Subscription Resumed": EventSpec(PURCHASES, UPDATE, "subscription"),
    "Subscription Cancelled": EventSpec(PURCHASES, SUB_CANCEL, "subscription"),
    "Subscription Expired": EventSpec(PURCHASES, SUB_CANCEL, "subscription"),
    "Payment Succeeded": EventSpec(PURCHASES, PAYMENT_OK, "payment"),
    "Payment Failed": EventSpec(PURCHASES, PAYMENT_FAILED, "payment"),
    "Payment Method Updated": EventSpec(PURCHASES, UPDATE, "payment"),
    "Charge Failed": EventSpec(PURCHASES, PAYMENT_FAILED, "payment"),
    "Charge Max Tries Reached": EventSpec(PURCHASES, PAYMENT_FAILED, "payment"),
}

_CONTACT: Final[dict[str, EventSpec]] = {
    "Conversation Completed": EventSpec(CONTACT_CENTER, CONVERSATION, "conversation"),
}

#: Every event that Ebbtide knows by name.
CATALOG: Final[dict[str, EventSpec]] = {**CALLS, **_BROWSING, **_ACCOUNT, **_MONEY, **_CONTACT}

#: American spelling -> the name in the catalog, so that a label on `Subscription Cancelled` sees both.
ALIASES: Final[dict[str, str]] = {
    "Order Canceled": "Order Cancelled",
    "Subscription Canceled": "Subscription Cancelled",
}

#: What an unknown track call on the clickstream counts as.
UNKNOWN_TRACK: Final = EventSpec(CLICKSTREAM, OTHER)
