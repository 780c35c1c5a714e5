"""The relation as a whole: its age, its rhythm over all kinds of activity, and the present silence."""

from __future__ import annotations

import math
from bisect import bisect_right

from models.events.types import Event
from models.features.base import Group, declare
from models.features.summary import DAY_S, SPANS_DAYS, Layout, Summary, days_between, ratio

TOTAL_EVENTS = 0

#: A tile holds nothing but a mark: that it is there says that the customer was active on the day.
LAYOUT = Layout(tiles=("|",), totals=1, firsts=1, lasts=1)


def observe(summary: Summary, event: Event) -> None:
    """Note that the customer was active on this day."""
    summary.tile(LAYOUT, event.time)[0] = 1
    summary.totals[TOTAL_EVENTS] += 1
    summary.seen(0, 0, event.time)


def vector(summary: Summary, now: float) -> list[float]:
    """See FEATURES."""
    today = int(now // DAY_S)
    days = sorted(day for day in summary.tiles if 0 <= today - day < SPANS_DAYS[-1])
    active = [len(days) - bisect_right(days, today - span) for span in SPANS_DAYS]
    first, last = summary.firsts[0], summary.lasts[0]
    silence = days_between(now, last)
    # Mean gap between active days: span of the days seen over their number.
    cadence = (days[-1] - days[0]) / (len(days) - 1) if len(days) > 1 else math.nan
    return [
        days_between(now, first), summary.totals[TOTAL_EVENTS],
        active[1], active[2], active[3],
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
