"""Events that echo the label: the page where one cancels, the refund after it, the farewell survey.

They happen almost only shortly before or after leaving. A model that sees them looks brilliant and helps nobody: by
then the customer has decided. Whether to leave them out of the features is for a human to decide; the audit names them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from models.audit.finding import Finding

Array = npt.NDArray[Any]


class EchoLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What makes an event name an echo.

    At least `share` of its events lie within `near_days` of their customer's leaving, that is `lift` times as many as
    of all events, and they come from at least `customers` who left.
    """

    near_days: float = 3.0
    share: float = 0.7
    lift: float = 5.0
    customers: int = 20


def label_echoes(
    names: Sequence[str],
    customer: Array,
    name: Array,
    time: Array,
    left_at: Array,
    *,
    definition: Collection[str] = (),
    limits: EchoLimits | None = None,
) -> list[Finding]:
    """Event names that happen almost only around leaving, worst first.

    One entry per event: `customer` is a position in `left_at`, `name` one in `names`, `time` epoch seconds. `left_at`
    has one entry per customer: epoch seconds, NaN for those who stayed. The names of the label's own `definition` are
    passed over. An echo before leaving is a fault, one that comes only afterwards a warning: it can only leak through
    features of customers who came back.
    """
    limits = limits or EchoLimits()
    if not len(time):
        return []
    apart = (time - left_at[customer]) / 86_400.0
    near = np.abs(apart) <= limits.near_days
    total = np.bincount(name, minlength=len(names))
    shares = np.bincount(name, weights=near, minlength=len(names)) / np.maximum(total, 1)
    found = []
    for i in np.flatnonzero((shares >= limits.share) & (shares >= limits.lift * near.mean())).tolist():
        here = near & (name == i)
        leavers = len(np.unique(customer[here]))
        if names[i] in definition or leavers < limits.customers:
            continue
        before = float((apart[here] <= 0.0).mean())
        found.append(_finding(names[i], float(shares[i]), leavers, before, limits))
    return sorted(found, key=lambda finding: (-finding.size, finding.subject))


def _finding(name: str, share: float, leavers: int, before: float, limits: EchoLimits) -> Finding:
    side = "after" if before < 0.1 else "before" if before > 0.9 else "around"
    return Finding(
        kind="label_echo",
        subject=name,
        size=share,
        severity="warning" if side == "after" else "fault",
        sentence=f"{share:.0%} of '{name}' happen within {limits.near_days:g} days {side} leaving ({leavers} leavers)",
    )
