"""One verification of what was read: the events, the two comparisons, and who is missing on either side."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Final, NamedTuple

from models.features import FEATURE_NAMES
from models.features.layout import DAY_S
from models.scoring import iso
from streams.verify.compare import Findings, compare_states, survey_states
from streams.verify.inputs import CannotVerify, Inputs
from streams.verify.recompute import read_events, unreadable
from streams.verify.report import SHOWN, Report
from streams.verify.served import compare_scores
from streams.verify.store import Store, sql_of

_WINDOW: Final = re.compile(r".*_(\d+)d")


class Sample(NamedTuple):
    """Which customers to compare: all, or `size` of them drawn by `seed`."""

    size: int | None = None
    seed: int = 0

    def of(self, customer_ids: list[str]) -> list[str]:
        """The drawn ones; the same seed draws the same customers."""
        if self.size is None or self.size >= len(customer_ids):
            return customer_ids
        return sorted(customer_ids, key=self._rank)[: self.size]

    def _rank(self, customer_id: str) -> bytes:
        return hashlib.blake2b(f"{self.seed} {customer_id}".encode(), digest_size=8).digest()


def check(store: Store, inputs: Inputs, sample: Sample, as_of: float | None) -> Report:
    """Compare everything that was read.

    Parameters
    ----------
    as_of
        The common time of the states in epoch seconds; None takes the greatest event time, or the present where the
        worker lives by the wall clock.

    Raises
    ------
    CannotVerify
        The log is empty, too much of it was removed, or `as_of` lies before what the states still know.
    models.state.StateError
        A state is not of this version.
    """
    # 1. What counts: the events that the states are known to hold.
    read_events(store)
    clock_at = max(inputs.clock_at, survey_states(store))
    store.run("past")
    time = _time(store, inputs, clock_at, as_of)
    features = _comparable(inputs, time)
    # 2. Who is missing, and what the log says that a comparison cannot.
    customers = _Customers(store, complete=not inputs.removed)
    if not customers.both and not customers.without_state:
        raise CannotVerify(f"nothing to verify: {inputs.source} holds no customer with events that were applied")
    log = _read_log(store, inputs)
    # 3. The two comparisons.
    chosen = sample.of(customers.both)
    states, scores = Findings("state", frozenset(features)), Findings("served", frozenset(features))
    compared = compare_states(store, states, time, chosen)
    served, foreign = compare_scores(store, scores, chosen) if not inputs.removed else (0, 0)
    if foreign:
        log.notes.append(f"{foreign:,} scores have the features of another version and were left out")
    return Report(
        source=inputs.source,
        customers=compared,
        served=served,
        events=log.events,
        refused=log.refused,
        repeats=log.repeats,
        as_of=time,
        features=tuple(features),
        wrong={one.check: dict(one.wrong) for one in (states, scores) if one.wrong},
        mismatches=tuple(states.first + scores.first),
        without_state=len(customers.without_state),
        without_events=len(customers.without_events),
        named=tuple((customers.without_state + customers.without_events)[:SHOWN]),
        unreadable=log.unreadable,
        notes=tuple(_removed_notes(inputs, features) + log.notes),
    )


class _Customers:
    """Who has events and a state, and who lacks one of them (no events only where the log is complete)."""

    def __init__(self, store: Store, *, complete: bool) -> None:
        self.both = self._ids(store, "SELECT customer_id FROM states SEMI JOIN applied USING (customer_id)")
        self.without_state = self._ids(
            store, "SELECT DISTINCT customer_id FROM applied ANTI JOIN states USING (customer_id)"
        )
        told = "(SELECT customer_id FROM states UNION SELECT customer_id FROM scores)"
        without_events = f"SELECT customer_id FROM {told} ANTI JOIN applied USING (customer_id)"  # noqa: S608 - constants
        self.without_events = self._ids(store, without_events) if complete else []

    @staticmethod
    def _ids(store: Store, query: str) -> list[str]:
        return sorted(customer_id for (customer_id,) in store.rows(query) if customer_id is not None)


class _Log(NamedTuple):
    events: int
    refused: int
    repeats: int
    unreadable: int
    notes: list[str]


def _read_log(store: Store, inputs: Inputs) -> _Log:
    [(repeats, far, different)] = store.rows(sql_of("repeats"), inputs.duplicate_window)
    events, refused = (store.one(f"SELECT count(*) FROM {name}") for name in ("applied", "refused"))  # noqa: S608 - ours
    return _Log(events, refused, repeats, unreadable(store), _repeat_notes(inputs, far, different))


def _time(store: Store, inputs: Inputs, clock_at: float, as_of: float | None) -> float:
    """The time at which states are compared: not before their own clock, since older days were dropped by it."""
    if as_of is not None:
        if as_of < clock_at:
            raise CannotVerify(
                f"cannot compare states as of {iso(as_of)}: they dropped days by a later clock; "
                f"allowed: {iso(clock_at)} or later"
            )
        return as_of
    if inputs.clock == "wall":
        return max(inputs.read_at, clock_at)
    newest = store.one("SELECT max(time) FROM applied")
    if newest is None:
        raise CannotVerify(f"nothing to verify: {inputs.source} holds no event")
    if math.isinf(clock_at):
        return float(newest)
    # One event from the far future would leave every window empty. Scores are told at least this often, so the
    # worker's clock is not later.
    return max(clock_at, min(float(newest), clock_at + inputs.refresh_every_s))


def _comparable(inputs: Inputs, as_of: float) -> list[str]:
    """The features that the kept part of the log determines: all, or those whose window lies inside of it."""
    if not inputs.removed:
        return list(FEATURE_NAMES)
    features = []
    if inputs.complete_from is not None:
        for name in FEATURE_NAMES:
            window = _WINDOW.fullmatch(name)
            if window and (math.floor(as_of / DAY_S) - int(window[1]) + 1) * DAY_S >= inputs.complete_from:
                features.append(name)
    if not features:
        since = "an unknown time" if inputs.complete_from is None else iso(inputs.complete_from)
        raise CannotVerify(
            f"retention has removed {inputs.removed:,} records of the source topics: the log is complete only from "
            f"{since} on, and no feature's window lies inside of it as of {iso(as_of)}"
        )
    return features


def _removed_notes(inputs: Inputs, features: list[str]) -> list[str]:
    if not inputs.removed:
        return []
    kept = (
        f"retention has removed {inputs.removed:,} records of the source topics; {len(features)} of "
        f"{len(FEATURE_NAMES)} features have a window inside the rest and are compared: {', '.join(features)}"
    )
    return [kept, "scores are not compared, and customers without events are not looked for"]


def _repeat_notes(inputs: Inputs, far: int, different: int) -> list[str]:
    notes = []
    if far:
        notes.append(
            f"{far:,} repeats came more than {inputs.duplicate_window} messages of their customer later "
            "(worker.duplicate_window): the worker may have counted them"
        )
    if different:
        notes.append(f"{different:,} repeats say something else than the message whose id they carry; the first counts")
    return notes
