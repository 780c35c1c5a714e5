"""The relation as a whole: its age, its rhythm over all kinds of activity, and the present silence."""

from __future__ import annotations

import numpy as np

from models.events.types import Event
from models.features.base import Group, declare
from models.features.layout import Array, Layout
from models.features.view import View, ratio

TOTAL_EVENTS = 0
WINDOW_DAYS, RECENT_DAYS = 90, 10.0
#: Active days, and days, that both rates begin with, so that a trend is 1 where little was seen.
_PRIOR_DAYS = 0.5
_LN_2 = 0.6931471805599453

#: A tile holds nothing but its day: that it is there says that the customer was active on the day.
LAYOUT = Layout(tiles=(), totals=1, firsts=1, lasts=1)
_ACTIVE = (1.0, 1.0, 1.0)


def observe(_: Event) -> tuple[float, ...]:
    """The customer was active."""
    return _ACTIVE


def observe_times(_: str, times: Array) -> Array:
    """As `observe`."""
    return np.ones((len(times), len(_ACTIVE)))


def vector(of: View) -> list[Array]:
    """See FEATURES."""
    active = of.active_days(WINDOW_DAYS)
    silence = of.days_since_last(0)
    # Mean gap between active days: span of the days seen over their number.
    several = active > 1
    cadence = np.where(several, of.active_span(WINDOW_DAYS) / np.where(several, active - 1, 1.0), np.nan)
    return [
        of.days_since_first(0), of.total(TOTAL_EVENTS),
        of.active_days(7), of.active_days(30), active,
        silence, cadence, ratio(silence, np.maximum(cadence, 1.0)), _trend(of, active),
    ]  # fmt: skip


def _trend(of: View, active: Array) -> Array:
    """The recent rate of active days over the usual one, NaN without any.

    Both are for the time since the first active day of the window: who came last week is not new to being active, and
    who came back is measured by the time since.
    """
    seen = of.days_since_first_tile(WINDOW_DAYS)
    usual = (active + _PRIOR_DAYS) / (seen + _PRIOR_DAYS)
    # What a sum of one per day that fades with the half-life has come to after the time seen.
    full = RECENT_DAYS / _LN_2 * (1.0 - np.exp2(-seen / RECENT_DAYS))
    return np.asarray((of.fading_days(WINDOW_DAYS, RECENT_DAYS) + _PRIOR_DAYS) / (full + _PRIOR_DAYS) / usual)


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
    observe_times=observe_times,
    vector=vector,
    features=declare(
        "tenure",
        (
            "tenure_days",
            "days",
            "time since the first event",
            "log1p",
            "customer for {days} || not seen before",
        ),
        ("events_total", "events", "events ever", "log1p", "{events} so far"),
        ("active_days_7d", "days", "days with any activity in 7 days", "log1p", "{active days} in 7 days"),
        ("active_days_30d", "days", "days with any activity in 30 days", "log1p", "{active days} in 30 days"),
        ("active_days_90d", "days", "days with any activity in 90 days", "log1p", "{active days} in 90 days"),
        (
            "days_since_activity",
            "days",
            "time since the last activity of any kind",
            "log1p",
            "not active for {days} | last active {days} ago | never active",
        ),
        (
            "activity_cadence_days",
            "days",
            "mean time between active days in 90 days",
            "log1p",
            "usually {days} between active days || active on fewer than two days",
        ),
        (
            "activity_silence_ratio",
            "ratio",
            "time since the last activity over the mean time between active days",
            "log1p",
            "time since the last activity is {times} the usual gap || no usual gap between active days yet",
        ),
        (
            "activity_trend",
            "ratio",
            "rate of active days with half-life 10 days over the one in 90 days, both since the first of them",
            "log1p",
            "active lately {times} as often as usual || not active in 90 days",
        ),
    ),
)
