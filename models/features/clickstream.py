"""Browsing: how much, how deep and how regularly."""

from __future__ import annotations

import numpy as np

from models.events.types import Event
from models.features.base import Group, declare
from models.features.layout import BITS, COUNT, DAY_S, Array, Layout
from models.features.view import View

CLICKS, VIEWS, SEARCHES, CARTS, CHECKOUTS, SLOTS = range(6)
HALF_LIFE_DAYS = 7.0
_SLOT_S = 1800.0
# A decayed sum of one event per day settles near half-life / ln 2, so this turns it into events per day.
_PER_DAY = 0.6931471805599453

LAYOUT = Layout(
    tiles=(COUNT, COUNT, COUNT, COUNT, COUNT, BITS),
    half_lives_days=(HALF_LIFE_DAYS,),
    lasts=1,
    sketch=True,
)
_COUNTED: dict[str, tuple[float, ...]] = {
    effect: (1.0, *(1.0 if effect == counted else 0.0 for counted in ("view", "search", "cart", "checkout")))
    for effect in ("page", "screen", "view", "search", "cart", "checkout", "other")
}
_DECAYED_AND_LAST = (1.0, 1.0)


def observe(event: Event) -> tuple[float, ...]:
    """A click: its kind, the half-hour slot of its day, the decayed rate."""
    slot = float(1 << int(event.time % DAY_S // _SLOT_S))
    return (*_COUNTED[event.effect], slot, *_DECAYED_AND_LAST)


def observe_times(effect: str, times: Array) -> Array:
    """As `observe`."""
    told = np.empty((len(times), LAYOUT.inputs))
    told[:] = (*_COUNTED[effect], 0.0, *_DECAYED_AND_LAST)
    told[:, SLOTS] = np.ldexp(1.0, (times % DAY_S // _SLOT_S).astype(np.int64))
    return told


def items(event: Event) -> tuple[str, ...]:
    """The products that were clicked on."""
    return event.products


def vector(of: View) -> list[Array]:
    """See FEATURES."""
    # A session is a run of half-hour slots with activity. Counting runs in a bit set, unlike measuring
    # gaps between clicks, does not depend on the order in which the clicks arrive.
    slots = of.per_tile(SLOTS).astype(np.uint64)
    sessions = np.bitwise_count(slots & ~(slots << np.uint64(1)))
    return [
        of.count(1, CLICKS), of.count(7, CLICKS), of.count(30, CLICKS), of.count(90, CLICKS),
        of.sum_of(7, sessions), of.sum_of(30, sessions),
        of.count(7, VIEWS), of.count(30, VIEWS), of.count(30, SEARCHES), of.count(30, CARTS), of.count(30, CHECKOUTS),
        of.decayed(0) * _PER_DAY / HALF_LIFE_DAYS, of.days_since_last(0), of.distinct(),
    ]  # fmt: skip


GROUP = Group(
    name="clickstream",
    layout=LAYOUT,
    effects=frozenset({"page", "screen", "view", "search", "cart", "checkout", "other"}),
    observe=observe,
    observe_times=observe_times,
    items=items,
    vector=vector,
    features=declare(
        "clickstream",
        ("clicks_1d", "events", "pages, screens and browsing tracks today", "log1p", "{clicks} today"),
        ("clicks_7d", "events", "pages, screens and browsing tracks in 7 days", "log1p", "{clicks} in 7 days"),
        ("clicks_30d", "events", "pages, screens and browsing tracks in 30 days", "log1p", "{clicks} in 30 days"),
        ("clicks_90d", "events", "pages, screens and browsing tracks in 90 days", "log1p", "{clicks} in 90 days"),
        ("sessions_7d", "sessions", "runs of half-hours with activity in 7 days", "log1p", "{visits} in 7 days"),
        ("sessions_30d", "sessions", "runs of half-hours with activity in 30 days", "log1p", "{visits} in 30 days"),
        ("product_views_7d", "events", "products looked at in 7 days", "log1p", "{product views} in 7 days"),
        ("product_views_30d", "events", "products looked at in 30 days", "log1p", "{product views} in 30 days"),
        ("searches_30d", "events", "searches in 30 days", "log1p", "{searches} in 30 days"),
        (
            "carts_30d",
            "events",
            "products put into or taken out of the cart in 30 days",
            "log1p",
            "{changes of the cart} in 30 days",
        ),
        ("checkouts_30d", "events", "checkout steps in 30 days", "log1p", "{checkout steps} in 30 days"),
        ("click_rate", "events/day", "decayed rate of clicks, half-life 7 days", "log1p", "{clicks} a day lately"),
        (
            "days_since_click",
            "days",
            "time since the last click",
            "log1p",
            "no visit for {days} | last visit {days} ago | no visit yet",
        ),
        (
            "products_seen",
            "products",
            "distinct products in clicks, estimated from 32 on",
            "log1p",
            "{products} looked at so far",
        ),
    ),
)
