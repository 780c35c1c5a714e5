"""Buying: orders, money, refunds, failed payments, the subscription, and the customer's own rhythm."""

from __future__ import annotations

import math

from models.events.types import Event
from models.features.base import Group, declare
from models.features.summary import DAY_S, Layout, Summary, days_between, ratio

ORDERS, SPEND, UNITS, DISCOUNT, REFUNDS, REFUNDED, FAILED, CANCELLED, RENEWALS = range(9)
TOTAL_ORDERS, TOTAL_SPEND = range(2)
LAST_ORDER, LAST_FAILED = range(2)
FIRST_ORDER, FIRST_SUBSCRIPTION = range(2)
FAST_DAYS, SLOW_DAYS = 14.0, 90.0
_PER_DAY = 0.6931471805599453

LAYOUT = Layout(tiles=("+",) * 9, totals=2, half_lives_days=(FAST_DAYS, SLOW_DAYS), firsts=2, lasts=2)
_COUNTERS = {"order_cancel": CANCELLED, "sub_renew": RENEWALS}


def observe(summary: Summary, event: Event) -> None:
    """Fold one purchase event in."""
    effect, tile = event.effect, summary.tile(LAYOUT, event.time)
    if effect == "order":
        _order(summary, event)
    elif effect == "refund":
        tile[REFUNDS] += 1
        tile[REFUNDED] += event.value
    elif effect == "payment_failed":
        tile[FAILED] += 1
        summary.seen(None, LAST_FAILED, event.time)
    elif effect == "sub_start":
        summary.seen(FIRST_SUBSCRIPTION, None, event.time)
    elif effect in _COUNTERS:
        tile[_COUNTERS[effect]] += 1


def _order(summary: Summary, event: Event) -> None:
    tile = summary.tile(LAYOUT, event.time)
    tile[ORDERS] += 1
    tile[SPEND] += event.value
    tile[UNITS] += event.units
    tile[DISCOUNT] += event.discount
    summary.totals[TOTAL_ORDERS] += 1
    summary.totals[TOTAL_SPEND] += event.value
    summary.add_decayed(LAYOUT, event.time, (1.0, 1.0))
    summary.seen(FIRST_ORDER, LAST_ORDER, event.time)
    for product in event.products:
        summary.add_distinct(product)


def vector(summary: Summary, now: float) -> list[float]:
    """See FEATURES."""
    _, d7, d30, d90 = summary.windows(LAYOUT, now)
    orders, last_order = summary.totals[TOTAL_ORDERS], summary.lasts[LAST_ORDER]
    silence = days_between(now, last_order)
    cadence = (last_order - summary.firsts[FIRST_ORDER]) / DAY_S / (orders - 1) if orders > 1 else math.nan
    fast = summary.decayed_at(LAYOUT, now, 0) * _PER_DAY / FAST_DAYS
    slow = summary.decayed_at(LAYOUT, now, 1) * _PER_DAY / SLOW_DAYS
    return [
        d7[ORDERS], d30[ORDERS], d90[ORDERS], orders,
        d7[SPEND], d30[SPEND], d90[SPEND], ratio(d90[SPEND], d90[ORDERS]),
        d30[UNITS], ratio(d90[DISCOUNT], d90[SPEND] + d90[DISCOUNT]),
        d90[REFUNDS], d90[REFUNDED],
        d7[FAILED], d30[FAILED], d90[FAILED], d90[CANCELLED], d90[RENEWALS],
        fast, (fast + 0.01) / (slow + 0.01),
        silence, cadence, ratio(silence, max(cadence, 1.0)),
        days_between(now, summary.lasts[LAST_FAILED]), days_between(now, summary.firsts[FIRST_SUBSCRIPTION]),
        summary.distinct(),
    ]  # fmt: skip


GROUP = Group(
    name="purchases",
    layout=LAYOUT,
    effects=frozenset(
        {"order", "refund", "order_cancel", "payment_failed", "sub_start", "sub_renew", "sub_cancel", "payment_ok"}
    ),
    observe=observe,
    vector=vector,
    features=declare(
        "purchases",
        ("orders_7d", "orders", "orders in 7 days", "log1p"),
        ("orders_30d", "orders", "orders in 30 days", "log1p"),
        ("orders_90d", "orders", "orders in 90 days", "log1p"),
        ("orders_total", "orders", "orders ever", "log1p"),
        ("spend_7d", "money", "money spent in 7 days", "log1p"),
        ("spend_30d", "money", "money spent in 30 days", "log1p"),
        ("spend_90d", "money", "money spent in 90 days", "log1p"),
        ("order_value_90d", "money", "mean value of an order in 90 days", "log1p"),
        ("units_30d", "units", "units bought in 30 days", "log1p"),
        ("discount_share_90d", "share", "discounts as a share of the price before them in 90 days"),
        ("refunds_90d", "refunds", "refunds in 90 days", "log1p"),
        ("refunded_90d", "money", "money refunded in 90 days", "log1p"),
        ("failed_payments_7d", "payments", "failed payments in 7 days", "log1p"),
        ("failed_payments_30d", "payments", "failed payments in 30 days", "log1p"),
        ("failed_payments_90d", "payments", "failed payments in 90 days", "log1p"),
        ("order_cancels_90d", "orders", "orders cancelled in 90 days", "log1p"),
        ("renewals_90d", "renewals", "subscription renewals in 90 days", "log1p"),
        ("order_rate", "orders/day", "decayed rate of orders, half-life 14 days", "log1p"),
        ("order_trend", "ratio", "order rate of half-life 14 days over that of 90 days", "log1p"),
        ("days_since_order", "days", "time since the last order", "log1p"),
        ("order_cadence_days", "days", "mean time between the customer's orders", "log1p"),
        ("order_silence_ratio", "ratio", "time since the last order over the mean time between orders", "log1p"),
        ("days_since_failed_payment", "days", "time since the last failed payment", "log1p"),
        ("days_since_subscription", "days", "time since the first subscription", "log1p"),
        ("products_bought", "products", "distinct products ever bought, estimated from 32 on", "log1p"),
    ),
)
