"""What a verification found, as data and as text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import msgspec

from models.features import FEATURE_NAMES
from models.scoring import iso

#: Customers that are named one by one.
SHOWN = 5


class Mismatch(msgspec.Struct, frozen=True):
    """One value that is not what SQL makes of the log. `check` is state or served; null is unknown."""

    check: str
    customer_id: str
    feature: str
    expected: float | None
    found: float | None
    as_of: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome. Counts are totals; of `mismatches` and the lists of customers only the first are kept.

    `without_state` are customers with events in the log and no state, `without_events` those with a state or a score
    and no event. `unreadable` counts events that the worker took and SQL cannot read. `notes` say what was left out.
    """

    source: str
    customers: int
    served: int
    events: int
    refused: int
    repeats: int
    as_of: float
    features: tuple[str, ...]
    wrong: dict[str, dict[str, int]]
    mismatches: tuple[Mismatch, ...] = ()
    without_state: int = 0
    without_events: int = 0
    named: tuple[str, ...] = ()
    unreadable: int = 0
    notes: tuple[str, ...] = ()

    @property
    def mismatched(self) -> int:
        """All values that differ."""
        return sum(sum(counts.values()) for counts in self.wrong.values())

    @property
    def ok(self) -> bool:
        """Whether the log and what the stream made of it agree."""
        return not (self.mismatched or self.without_state or self.without_events or self.unreadable)


def headline(report: Report) -> str:
    """The outcome in one line."""
    found = f"{report.mismatched:,} mismatches" if report.mismatched != 1 else "1 mismatch"
    text = f"{report.customers:,} customers x {len(report.features)} features recomputed in SQL: {found}"
    if report.without_state or report.without_events:
        text += f", {report.without_state:,} customers without state, {report.without_events:,} without events"
    if report.unreadable:
        text += f", {report.unreadable:,} events that SQL cannot read"
    return text


def lines(report: Report) -> Iterator[str]:
    """The whole outcome for a person."""
    yield f"log       {report.source}"
    yield f"events    {report.events:,} applied, {report.repeats:,} repeats among them, {report.refused:,} refused"
    yield f"states    {report.customers:,} customers as of {iso(report.as_of)}"
    yield f"scores    the newest of {report.served:,} customers, each as of its own time"
    yield from (f"note      {note}" for note in report.notes)
    totals = Counter[str]()
    for counts in report.wrong.values():
        totals.update(counts)
    for feature in (name for name in FEATURE_NAMES if totals[name]):
        parts = [f"{check} {counts[feature]:,}" for check, counts in report.wrong.items() if counts.get(feature)]
        yield f"mismatch  {feature:<28} {', '.join(parts)}"
    for one in report.mismatches:
        yield (
            f"          {one.customer_id}: {one.feature} expected {_shown(one.expected)}, "
            f"found {_shown(one.found)} ({one.check}, as of {iso(one.as_of)})"
        )
    if report.named:
        yield f"missing   {', '.join(report.named)}"
    yield f"verify    {headline(report)}"


def known(value: float) -> float | None:
    """NaN as None, the way JSON has it."""
    return None if math.isnan(value) else value


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value!r}"
