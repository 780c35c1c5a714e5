"""The relation as a whole: its age, its rhythm over all kinds of activity, and the present silence."""

from __future__ import annotations

import math

from models.events.types import Event
from models.features.base import Group, declare
from models.features.summary import DAY_S, Layout, Summary, days_between, ratio

ACTIVE, EVENTS = range(2)
TOTAL_EVENTS = 0

LAYOUT = Layout(tiles=("|", "+"), totals=1, firsts=1, lasts=1)


def observe(summary: Summary, event: Event) -> None:
    """Note that the customer was active on this day."""
    tile = summary.tile(LAYOUT, event.time)
    tile[ACTIVE] = 1
    tile[EVENTS] += 1
    summary.totals[TOTAL_EVENTS] += 1
    summary.seen(0, 0, event.time)


def vector(summary: Summary, now: float) -> list[float]:
    """See FEATURES."""
    _, d7, d30, d90 = summary.windows(LAYOUT, now)
    first, last = summary.firsts[0], summary.lasts[0]
    silence = days_between(now, last)
    # Mean gap between active days in the last 90 days: span of the days seen over their number.
    days = [day for day in summary.tiles if 0 <= int(now // DAY_S) - day < 90]
    cadence = (max(days) - min(days)) / (len(days) - 1) if len(days) > 1 else math.nan
    return [
        days_between(now, first), summary.totals[TOTAL_EVENTS],
        d7[ACTIVE], d30[ACTIVE], d90[ACTIVE],
        silence, cadence, ratio(silence, max(cadence, 1.0)),
    ]  # fmt: skip


GROUP = Group(
    name="tenure",
    layout=LAYOUT,
    effects=frozenset(
        {
            "page",
            "screen",
            "view",
            "search",
            "cart",
            "checkout",
            "other",
            "order",
            "refund",
            "order_cancel",
            "payment_ok",
            "sub_start",
            "sub_renew",
            "conversation",
        }
    ),
    observe=observe,
    vector=vector,
    features=declare(
        "tenure",
        ("tenure_days", "days", "time since the first event", "log1p"),
        ("events_total", "events", "events ever", "log1p"),
        ("active_days_7d", "days", "days with any activity in 7 days", "log1p"),
        ("active_days_30d", "days", "days with any activity in 30 days", "log1p"),
        ("active_days_90d", "days", "days with any activity in 90 days", "log1p"),
        ("days_since_activity", "days", "time since the last activity of any kind", "log1p"),
        ("activity_cadence_days", "days", "mean time between active days in 90 days", "log1p"),
        (
            "activity_silence_ratio",
            "ratio",
            "time since the last activity over the mean time between active days",
            "log1p",
        ),
    ),
)
