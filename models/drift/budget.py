"""From an alarm budget to a limit: how many false alarms a month are expected, over all features together.

Sampling theory cannot give the limit. The rows of today are mostly the customers of yesterday with nearly the same
features, so a few thousand of them carry far less news than as many independent rows, features go together, and weeks
have a rhythm. Instead the past is asked: the largest movement over all features is taken for each whole week, just as
it is in operation. On stationary data the week under way is exchangeable with the n before it, so it is above the k-th
largest of them with probability k / (n + 1), whatever the distribution (the argument of conformal prediction: Vovk,
Gammerman and Shafer, 2005). k is chosen so that this, times the weeks of a month, is within the budget.
"""

from __future__ import annotations

import math

import numpy as np

from models.drift.sketch import Array

MONTH_DAYS = 30.0
#: Whole blocks of the past without which nothing can be said.
LEAST_BLOCKS = 3
_MOST_SHARE = 0.5


def limit(past: Array, alarms_per_month: float, block_days: float) -> float:
    """What the block under way must exceed to be an alarm; infinite with fewer than three blocks.

    `past` has one number per finished block of `block_days`: its largest movement. Where the budget is smaller than the
    past can show, the limit lies above the largest seen, on a tail that falls with the square: a wide one.
    """
    count = len(past)
    if count < LEAST_BLOCKS:
        return math.inf
    share = min(alarms_per_month * block_days / MONTH_DAYS, _MOST_SHARE)
    allowed = share * (count + 1)
    if allowed < 1.0:
        return float(np.max(past)) / math.sqrt(allowed) if allowed else math.inf
    return float(np.sort(past)[-math.floor(allowed)])
