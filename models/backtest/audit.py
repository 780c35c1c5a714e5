"""Leaks of the future, looked for in what a backtest read, predicted and learned; see `models.audit`.

While the run goes on, `Auditor` notes of every event whose it was, what it was, when it happened and when it became
known (24 bytes), and of every example when it was learned (32 bytes).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from models.audit import Finding, after_leaving, early_learning, known_too_late, label_echoes, overlap, single_features
from models.backtest.rows import Judged
from models.events.clock import parse_time
from models.events.reasons import Refused
from models.events.types import Event
from models.events.wire import Envelope
from models.features.base import Feature
from models.features.layout import DAY_S, NEVER, Array, Integers
from models.labels import ACTS, LEAVES, RETURNS
from models.records import Example
from models.settings import LabelSettings

#: What may pass between an event and its arrival without being held against the history: phones without a network.
TRAVEL_S: Final = 2 * DAY_S
CHECKS: Final = (
    "columns that alone tell leavers from stayers", "events that became known long after they happened",
    "events that echo leaving", "events and predictions after leaving", "labels learned before their horizon ended",
    "predictions that rest on a later truth",
)  # fmt: skip
_envelope = msgspec.json.Decoder(Envelope).decode


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked for, and what was found; nothing found is `clean`."""

    clean: bool
    findings: list[Finding]
    checks: tuple[str, ...] = CHECKS


class _Events(NamedTuple):
    """The events of a history as columns, in the order of their times."""

    customer: Integers
    name: Integers
    time: Array
    known_at: Array


class Auditor:
    """Takes events and learned examples as they come, then judges."""

    def __init__(self, label: LabelSettings) -> None:
        self._label = label
        self._ids: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._customers, self._codes = array("i"), array("i")
        self._times, self._known = array("d"), array("d")
        self._left_at, self._back_at, self._active_at = array("d"), array("d"), array("d")
        self._learned: tuple[array[int], array[float], array[float], array[int]] = (
            array("i"), array("d"), array("d"), array("b"),
        )  # fmt: skip

    def event(self, event: Event, raw: bytes, bits: int) -> None:
        """An event was applied; `bits` are what it means for the label."""
        customer = self._number(event.customer_id)
        self._customers.append(customer)
        self._codes.append(self._names.setdefault(event.name, len(self._names)))
        self._times.append(event.time)
        self._known.append(known_at(raw, event.time))
        for bit, column in ((LEAVES, self._left_at), (RETURNS, self._back_at), (ACTS, self._active_at)):
            if bits & bit and event.time > column[customer]:
                column[customer] = event.time

    def learned(self, example: Example, at: float) -> None:
        """An example was learned, at a step (epoch seconds)."""
        customers, due, learned, labels = self._learned
        customers.append(self._number(example.customer_id))
        due.append(example.as_of + (example.gap_days + example.horizon_days) * DAY_S)
        learned.append(at)
        labels.append(example.label)

    def _number(self, customer_id: str) -> int:
        found = self._ids.get(customer_id)
        if found is None:
            found = self._ids[customer_id] = len(self._ids)
            for column in (self._left_at, self._back_at, self._active_at):
                column.append(NEVER)
        return found

    def judge(
        self, found: Judged, customers: Sequence[str], features: Sequence[Feature], known_until: float
    ) -> AuditReport:
        """All findings, faults first. `customers` are the ids by the numbers of `found`."""
        own = np.array([self._ids.get(customer_id, -1) for customer_id in customers])[found.rows.customer]
        events = self._events()
        left_at = self._leaving(known_until)
        names = [feature.name for feature in features]
        labels = found.rows.label[found.featured]
        trained, due, learned, label = (np.array(column) for column in self._learned)
        deciding = (*self._label.cancellation_events, *self._label.activity_events)
        findings = [
            *single_features(names, found.features, labels),
            *known_too_late(found.rows.as_of, self._newest_known(events, own, found.rows.as_of), "events"),
            *label_echoes(list(self._names), events.customer, events.name, events.time, left_at, definition=deciding),
            *self._after_leaving(events, left_at, own, found.rows.as_of),
            *early_learning(label, due, learned),
            *overlap(trained, learned, due, own, found.rows.as_of),
        ]
        findings.sort(key=lambda finding: finding.severity != "fault")
        return AuditReport(clean=not findings, findings=findings)

    def _events(self) -> _Events:
        order = np.argsort(np.array(self._times), kind="stable")
        return _Events(
            np.array(self._customers, dtype=np.int64)[order],
            np.array(self._codes, dtype=np.int64)[order],
            np.array(self._times)[order],
            np.array(self._known)[order],
        )

    def _leaving(self, known_until: float) -> Array:
        """When each customer left for good, NaN for who has not: the last leave, or activity before silence."""
        left, back, active = (np.array(column) for column in (self._left_at, self._back_at, self._active_at))
        if self._label.kind == "cancellation":
            return np.where((left > NEVER) & (left > back), left, np.nan)
        silent = known_until - active >= (self._label.gap_days + self._label.horizon_days) * DAY_S
        return np.where((active > NEVER) & silent, active, np.nan)

    def _after_leaving(self, events: _Events, left_at: Array, customers: Integers, as_of: Array) -> list[Finding]:
        if self._label.kind != "cancellation":
            # Silence is leaving here, and the cohort says how long it is still predicted.
            return []
        found = []
        for what, who, when in (("events", events.customer, events.time), ("scores", customers, as_of)):
            last = np.full(len(left_at), np.nan)
            np.fmax.at(last, who, when)
            found += after_leaving(left_at, last, what)
        return found

    @staticmethod
    def _newest_known(events: _Events, customers: Integers, as_of: Array) -> Array:
        """When the last of the events behind each prediction became known; NaN where none was long on its way."""
        long = events.known_at - events.time > TRAVEL_S
        late = _Events(events.customer[long], events.name[long], events.time[long], events.known_at[long])
        if not len(late.time):
            return np.full(len(as_of), np.nan)
        size = len(late.time) + 1
        # By customer, then time; the events are in the order of time already.
        order = np.argsort(late.customer, kind="stable")
        keys = late.customer[order] * size + order
        moments, rank = np.unique(late.known_at, return_inverse=True)
        newest = np.maximum.accumulate(late.customer[order] * size + rank[order]) % size
        wanted = customers * size + np.searchsorted(late.time, as_of, side="right")
        at = np.searchsorted(keys, wanted) - 1
        mine = (at >= 0) & (keys[at] // size == customers)
        return np.where(mine, moments[newest[at]], np.nan)


def known_at(raw: bytes, time: float) -> float:
    """When an event that was decoded became known: when it was received, else sent, else when it happened."""
    envelope = _envelope(raw.removeprefix(b"\xef\xbb\xbf"))
    for field, told in (("receivedAt", envelope.received_at), ("sentAt", envelope.sent_at)):
        if told is not None:
            try:
                return parse_time(told, field)
            except Refused:
                continue
    return time
