"""Buying: orders, money, refunds, failed payments, the subscription and its price, and the customer's own rhythm."""

from __future__ import annotations

import numpy as np

from models.events.types import Event
from models.features.base import Group, declare
from models.features.layout import AMOUNT, COUNT, DAY_S, NAN, SCALE, Array, Layout, fixed
from models.features.view import View, ratio

ORDERS, SPEND, UNITS, DISCOUNT, REFUNDS, REFUNDED, FAILED, CANCELLED, RENEWALS = range(9)
TOTAL_ORDERS, TOTAL_SPEND = range(2)
LAST_ORDER, LAST_FAILED = range(2)
FIRST_ORDER, FIRST_SUBSCRIPTION = range(2)
PRICE = 0
FAST_DAYS, SLOW_DAYS = 14.0, 90.0
_PER_DAY = 0.6931471805599453

LAYOUT = Layout(
    tiles=(COUNT, AMOUNT, AMOUNT, AMOUNT, COUNT, AMOUNT, COUNT, COUNT, COUNT),
    totals=2,
    half_lives_days=(FAST_DAYS, SLOW_DAYS),
    firsts=2,
    lasts=2,
    latest=1,
    sketch=True,
)
_NO_ORDER = (0.0, 0.0, 0.0, 0.0)
_NO_SUMS = (0.0, 0.0, 0.0, 0.0)
_OTHERS: dict[str, tuple[float, ...]] = {
    "payment_failed": (*_NO_ORDER, 0.0, 0.0, 1.0, 0.0, 0.0, *_NO_SUMS, NAN, NAN, NAN, 1.0, NAN),
    "order_cancel": (*_NO_ORDER, 0.0, 0.0, 0.0, 1.0, 0.0, *_NO_SUMS, NAN, NAN, NAN, NAN, NAN),
}
#: As above, but for the price, which comes last.
_SUBSCRIBED: dict[str, tuple[float, ...]] = {
    "sub_renew": (*_NO_ORDER, 0.0, 0.0, 0.0, 0.0, 1.0, *_NO_SUMS, NAN, NAN, NAN, NAN),
    "sub_start": (*_NO_ORDER, 0.0, 0.0, 0.0, 0.0, 0.0, *_NO_SUMS, NAN, 1.0, NAN, NAN),
}


def observe(event: Event) -> tuple[float, ...] | None:
    """One purchase event: order, refund, failed payment, cancelled order, subscription started or renewed."""
    if event.effect == "order":
        spend = fixed(event.value)
        tile = (1.0, spend, fixed(event.units), fixed(event.discount), 0.0, 0.0, 0.0, 0.0, 0.0)
        return (*tile, 1.0, spend, 1.0, 1.0, 1.0, NAN, 1.0, NAN, NAN)
    if event.effect == "refund":
        return (*_NO_ORDER, 1.0, fixed(event.value), 0.0, 0.0, 0.0, *_NO_SUMS, NAN, NAN, NAN, NAN, NAN)
    subscribed = _SUBSCRIBED.get(event.effect)
    if subscribed is not None:
        # An event without a price says nothing of it, and an amount of 0 is mostly meant so.
        return (*subscribed, fixed(event.value) if event.value > 0.0 else NAN)
    return _OTHERS.get(event.effect)


def items(event: Event) -> tuple[str, ...]:
    """The products that were bought."""
    return event.products if event.effect == "order" else ()


def vector(of: View) -> list[Array]:
    """See FEATURES."""
    orders, last_order = of.total(TOTAL_ORDERS), of.last(LAST_ORDER)
    silence = of.days_since_last(LAST_ORDER)
    several = orders > 1
    between = np.where(several, last_order - np.where(several, of.first(FIRST_ORDER), 0.0), np.nan)
    cadence = between / DAY_S / np.where(several, orders - 1, 1.0)
    fast = of.decayed(0) * _PER_DAY / FAST_DAYS
    slow = of.decayed(1) * _PER_DAY / SLOW_DAYS
    spend, discount = of.amount(90, SPEND), of.amount(90, DISCOUNT)
    return [
        of.count(7, ORDERS), of.count(30, ORDERS), of.count(90, ORDERS), orders,
        of.amount(7, SPEND), of.amount(30, SPEND), spend, ratio(spend, of.count(90, ORDERS)),
        of.amount(30, UNITS), ratio(discount, spend + discount),
        of.count(90, REFUNDS), of.amount(90, REFUNDED),
        of.count(7, FAILED), of.count(30, FAILED), of.count(90, FAILED),
        of.count(90, CANCELLED), of.count(90, RENEWALS),
        fast, (fast + 0.01) / (slow + 0.01),
        silence, cadence, ratio(silence, np.maximum(cadence, 1.0)),
        of.days_since_last(LAST_FAILED), of.days_since_first(FIRST_SUBSCRIPTION), of.latest(PRICE) / SCALE,
        of.distinct(),
    ]  # fmt: skip


GROUP = Group(
    name="purchases",
    layout=LAYOUT,
    effects=frozenset(
        {"order", "refund", "order_cancel", "payment_failed", "sub_start", "sub_renew", "sub_cancel", "payment_ok"}
    ),
    observe=observe,
    items=items,
    vector=vector,
    features=declare(
        "purchases",
        ("orders_7d", "orders", "orders in 7 days", "log1p", "{orders} in 7 days"),
        ("orders_30d", "orders", "orders in 30 days", "log1p", "{orders} in 30 days"),
        ("orders_90d", "orders", "orders in 90 days", "log1p", "{orders} in 90 days"),
        ("orders_total", "orders", "orders ever", "log1p", "{orders} so far"),
        ("spend_7d", "money", "money spent in 7 days", "log1p", "{money} spent in 7 days"),
        ("spend_30d", "money", "money spent in 30 days", "log1p", "{money} spent in 30 days"),
        ("spend_90d", "money", "money spent in 90 days", "log1p", "{money} spent in 90 days"),
        (
            "order_value_90d",
            "money",
            "mean value of an order in 90 days",
            "log1p",
            "{money} spent per order in 90 days || no order in 90 days",
        ),
        ("units_30d", "units", "units bought in 30 days", "log1p", "{items} bought in 30 days"),
        (
            "discount_share_90d",
            "share",
            "discounts as a share of the price before them in 90 days",
            "identity",
            "discounts of {share} in 90 days || nothing bought in 90 days",
        ),
        ("refunds_90d", "refunds", "refunds in 90 days", "log1p", "{refunds} in 90 days"),
        ("refunded_90d", "money", "money refunded in 90 days", "log1p", "{money} refunded in 90 days"),
        ("failed_payments_7d", "payments", "failed payments in 7 days", "log1p", "{failed payments} in 7 days"),
        ("failed_payments_30d", "payments", "failed payments in 30 days", "log1p", "{failed payments} in 30 days"),
        ("failed_payments_90d", "payments", "failed payments in 90 days", "log1p", "{failed payments} in 90 days"),
        ("order_cancels_90d", "orders", "orders cancelled in 90 days", "log1p", "{cancelled orders} in 90 days"),
        (
            "renewals_90d",
            "renewals",
            "subscription renewals in 90 days",
            "log1p",
            "{renewals} of the subscription in 90 days",
        ),
        ("order_rate", "orders/day", "decayed rate of orders, half-life 14 days", "log1p", "{orders} a day lately"),
        (
            "order_trend",
            "ratio",
            "order rate of half-life 14 days over that of 90 days",
            "log1p",
            "orders of late are {times} the usual rate",
        ),
        (
            "days_since_order",
            "days",
            "time since the last order",
            "log1p",
            "no order for {days} | last order {days} ago | no order yet",
        ),
        (
            "order_cadence_days",
            "days",
            "mean time between the customer's orders",
            "log1p",
            "usually {days} between orders || fewer than two orders so far",
        ),
        (
            "order_silence_ratio",
            "ratio",
            "time since the last order over the mean time between orders",
            "log1p",
            "time since the last order is {times} the usual gap || no usual gap between orders yet",
        ),
        (
            "days_since_failed_payment",
            "days",
            "time since the last failed payment",
            "log1p",
            "no failed payment for {days} | last failed payment {days} ago | no failed payment yet",
        ),
        (
            "days_since_subscription",
            "days",
            "time since the first subscription",
            "log1p",
            "subscribed for {days} | subscribed {days} ago | no subscription yet",
        ),
        (
            "subscription_price",
            "money",
            "price of the subscription when it was last started or renewed",
            "log1p",
            "subscription price {money} || no subscription price known",
        ),
        (
            "products_bought",
            "products",
            "distinct products ever bought, estimated from 32 on",
            "log1p",
            "{products} bought so far",
        ),
    ),
)
