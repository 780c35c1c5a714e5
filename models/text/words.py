"""Words of customer support that VADER's list lacks or takes too lightly here, -4 (worst) to 4 (best).

Chosen by hand; kept mild where the word is also used neutrally ("waiting", "refund"). Words that VADER already judges
about as we would ("broken", "cancelled", "rude") are left to it.
"""

from __future__ import annotations

from typing import Final

SUPPORT_WORDS: Final[dict[str, float]] = {
    # time
    "queue": -0.4,
    "undelivered": -1.6,
    "unanswered": -1.4,
    "late": -1.3,
    "waiting": -1.1,
    "waited": -1.2,
    "delayed": -1.4,
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
    "disconnected": -1.1,
    "runaround": -1.9,
    "malfunction": -1.5,
    "crashing": -1.5,
    "crashes": -1.5,
    "glitches": -1.2,
    "glitch": -1.1,
    "faulty": -1.9,
    "leaking": -1.3,
    "outage": -1.6,
    "down": -0.6,
    "bug": -1.1,
    "buggy": -1.7,
    "unusable": -2.2,
    "unreliable": -1.9,
    "unresponsive": -1.7,
    "unhelpful": -2.0,
    # money
    "reimburse": -0.7,
    "deceptive": -2.2,
    "misled": -1.9,
    "overbilled": -1.9,
    "refund": -0.8,
    "overcharged": -2.0,
    "overpriced": -1.6,
    "expensive": -1.2,
    "unauthorized": -1.8,
    "unauthorised": -1.8,
    "chargeback": -1.7,
    "ripoff": -2.5,
    # leaving and anger
    "escalate": -1.0,
    "competitor": -0.5,
    "switching": -0.5,
    "unsubscribe": -0.8,
    "canceled": -1.0,
    "canceling": -1.1,
    "cancellation": -0.9,
    "unacceptable": -2.6,
    "ridiculous": -1.9,
    "disgrace": -2.6,
    "appalling": -2.8,
    "lawyer": -1.3,
    # good outcomes
    "resolved": 1.6,
    "fixed": 1.4,
    "sorted": 1.3,
    "works": 1.0,
    "working": 0.5,
    "quick": 1.1,
}
