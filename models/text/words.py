"""Words of customer support that VADER's list lacks or judges for another setting, -4 (worst) to 4 (best).

Chosen by hand; kept mild where the word is also used neutrally ("waiting", "refund").
"""

from __future__ import annotations

from typing import Final

SUPPORT_WORDS: Final[dict[str, float]] = {
    # time
    "late": -1.3,
    "waiting": -1.1,
    "waited": -1.2,
    "delayed": -1.4,
    "delay": -1.3,
    "delays": -1.4,
    "overdue": -1.4,
    "slow": -1.2,
    "forever": -0.9,
    "still": -0.4,
    "again": -0.5,
    "twice": -0.6,
    "nobody": -0.9,
    "hold": -0.4,
    # goods and service
    "lost": -1.5,
    "missing": -1.4,
    "broken": -1.8,
    "broke": -1.6,
    "defective": -2.0,
    "faulty": -1.9,
    "damaged": -1.9,
    "leaking": -1.3,
    "wrong": -1.7,
    "outage": -1.6,
    "down": -0.6,
    "bug": -1.1,
    "buggy": -1.7,
    "unusable": -2.2,
    "unreliable": -1.9,
    "unresponsive": -1.7,
    "unhelpful": -2.0,
    "rude": -2.2,
    "ignored": -1.6,
    # money
    "refund": -0.8,
    "refunded": -0.3,
    "charged": -0.7,
    "overcharged": -2.0,
    "overpriced": -1.6,
    "expensive": -1.2,
    "unauthorized": -1.8,
    "unauthorised": -1.8,
    "chargeback": -1.7,
    "ripoff": -2.5,
    # leaving and anger
    "cancel": -1.0,
    "cancelled": -1.0,
    "canceled": -1.0,
    "cancelling": -1.1,
    "canceling": -1.1,
    "cancellation": -0.9,
    "complaint": -1.4,
    "unacceptable": -2.6,
    "ridiculous": -1.9,
    "disgrace": -2.6,
    "appalling": -2.8,
    "fedup": -2.0,
    "lawyer": -1.3,
    "useless": -2.0,
    # good outcomes
    "resolved": 1.6,
    "fixed": 1.4,
    "sorted": 1.3,
    "works": 1.0,
    "working": 0.5,
    "quick": 1.1,
    "helpful": 1.9,
    "appreciated": 1.8,
}
