"""Browsing: how much, how deep, how regularly, and whether it is drying up."""

from __future__ import annotations

from models.events.types import Event
from models.features.base import Group, declare
from models.features.summary import DAY_S, Layout, Number, Summary, days_between

CLICKS, VIEWS, SEARCHES, CARTS, CHECKOUTS, SLOTS, SESSIONS = range(7)
FAST_DAYS, USUAL_DAYS, SLOW_DAYS = 3.0, 7.0, 30.0
_SLOT_S = 1800.0
_COUNTERS = {"view": VIEWS, "search": SEARCHES, "cart": CARTS, "checkout": CHECKOUTS}
# A decayed sum of one event per day settles near half-life / ln 2, so this turns it into events per day.
_PER_DAY = 0.6931471805599453


def _count_sessions(tile: list[Number]) -> None:
    # A session is a run of half-hour slots with activity. Counting runs in a bit set, unlike measuring
    # gaps between clicks, does not depend on the order in which the clicks arrive.
    slots = int(tile[SLOTS])
    tile[SESSIONS] = (slots & ~(slots << 1)).bit_count()


LAYOUT = Layout(
    tiles=("+", "+", "+", "+", "+", "|", "="),
    half_lives_days=(FAST_DAYS, USUAL_DAYS, SLOW_DAYS),
    lasts=1,
    derive=_count_sessions,
)


def observe(summary: Summary, event: Event) -> None:
    """Count the click in its day tile and in the decayed rates."""
    tile = summary.tile(LAYOUT, event.time)
    tile[CLICKS] += 1
    counter = _COUNTERS.get(event.effect)
    if counter is not None:
        tile[counter] += 1
    slot = 1 << int(event.time % DAY_S // _SLOT_S)
    if not int(tile[SLOTS]) & slot:
        tile[SLOTS] = int(tile[SLOTS]) | slot
        _count_sessions(tile)
    summary.add_decayed(LAYOUT, event.time, (1.0, 1.0, 1.0))
    summary.seen(None, 0, event.time)
    for product in event.products:
        summary.add_distinct(product)


def vector(summary: Summary, now: float) -> list[float]:
    """See FEATURES."""
    d1, d7, d30, d90 = summary.windows(LAYOUT, now)
    fast = summary.decayed_at(LAYOUT, now, 0) * _PER_DAY / FAST_DAYS
    usual = summary.decayed_at(LAYOUT, now, 1) * _PER_DAY / USUAL_DAYS
    slow = summary.decayed_at(LAYOUT, now, 2) * _PER_DAY / SLOW_DAYS
    return [
        d1[CLICKS], d7[CLICKS], d30[CLICKS], d90[CLICKS],
        d7[SESSIONS], d30[SESSIONS],
        d7[VIEWS], d30[VIEWS], d30[SEARCHES], d30[CARTS], d30[CHECKOUTS],
        usual, (fast + 0.05) / (slow + 0.05),
        days_between(now, summary.lasts[0]), summary.distinct(),
    ]  # fmt: skip


GROUP = Group(
    name="clickstream",
    layout=LAYOUT,
    effects=frozenset({"page", "screen", "view", "search", "cart", "checkout", "other"}),
    observe=observe,
    vector=vector,
    features=declare(
        "clickstream",
        ("clicks_1d", "events", "pages, screens and browsing tracks today", "log1p"),
        ("clicks_7d", "events", "pages, screens and browsing tracks in 7 days", "log1p"),
        ("clicks_30d", "events", "pages, screens and browsing tracks in 30 days", "log1p"),
        ("clicks_90d", "events", "pages, screens and browsing tracks in 90 days", "log1p"),
        ("sessions_7d", "sessions", "runs of half-hours with activity in 7 days", "log1p"),
        ("sessions_30d", "sessions", "runs of half-hours with activity in 30 days", "log1p"),
        ("product_views_7d", "events", "products looked at in 7 days", "log1p"),
        ("product_views_30d", "events", "products looked at in 30 days", "log1p"),
        ("searches_30d", "events", "searches in 30 days", "log1p"),
        ("carts_30d", "events", "products put into or taken out of the cart in 30 days", "log1p"),
        ("checkouts_30d", "events", "checkout steps in 30 days", "log1p"),
        ("click_rate", "events/day", "decayed rate of clicks, half-life 7 days", "log1p"),
        ("click_trend", "ratio", "click rate of half-life 3 days over that of 30 days", "log1p"),
        ("days_since_click", "days", "time since the last click", "log1p"),
        ("products_seen", "products", "distinct products in clicks, estimated from 32 on", "log1p"),
    ),
)
