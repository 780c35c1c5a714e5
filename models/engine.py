"""The churn engine of one partition: events in, scores, examples and changed states out. Pure.

The worker runs it behind Kafka, a backtest runs it in a loop over a file. One turn is

1. `apply` each event, in any order, with its source offset: the guards against doubles;
2. `flush` as of a clock: `look` - fold the events in, settle what is due, score who was touched or is due - then
   decide what is emitted, and hand back everything that must be made durable before the source offsets are committed.

Nothing here reads a clock: `now` is the time the features speak of, `wall` only stamps the records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec
import numpy as np

from models import table as t
from models.churn.serving import ServingModel
from models.customer import customer_facts
from models.events.types import Event
from models.features import FEATURE_VERSION, FEATURES
from models.features.layout import NEVER
from models.forecast import Forecaster
from models.guards import Guards
from models.labels import LabelDefinition, horizons_of
from models.look import Look, Looker
from models.pending import Ledger
from models.records import Example, LabelRecord, Score
from models.schedule import Schedule
from models.settings import Settings
from models.state import message_digest, remember
from models.table import Rows, Table, TableDump
from models.telling import LEFT, Teller, idle_rows
from models.turn import Poison, Turn
from models.watermark import Watermark

Outcome = str
APPLIED, REPLAYED, DUPLICATE, LATE = "applied", "replayed", "duplicate", "late"


class Flush(msgspec.Struct, frozen=True):
    """What one flush produced. `states` are (customer id, changelog value)."""

    scores: list[Score]
    examples: list[Example]
    labels: list[LabelRecord]
    states: list[tuple[str, bytes]]


class Engine:
    """See the module's docstring. Not safe for concurrent use.

    An event more than `events.max_late_s` behind the watermark is answered with LATE and changes nothing.

    `sources` names up to four `topic/partition` whose offsets are kept in columns; others cost more.
    """

    def __init__(
        self, settings: Settings, model: ServingModel, sources: tuple[str, ...] = (), ledger: Ledger | None = None
    ) -> None:
        """`ledger` keeps the predictions that wait for the truth; in the customers' states if none is given."""
        others = horizons_of(settings.label)[1:]
        self.models = Forecaster(
            settings.label, model,
            {days: ServingModel.initial(FEATURES, FEATURE_VERSION, settings.label, days) for days in others},
        )  # fmt: skip
        self._marks = Watermark()
        #: What was re-routed from other partitions says nothing of this one's pace.
        self._paced = frozenset(sources)
        self._max_late_s = settings.events.max_late_s or math.inf
        self.epoch = 0
        #: The clock of the newest flush whose states are durable; later predictions are not settled yet.
        self.durable_until = math.inf
        self.poison: list[Poison] = []
        self.missing: Callable[[str], bytes | None] = lambda _: None
        self._window = settings.worker.duplicate_window
        label = LabelDefinition(settings.label)
        self._table = Table()
        self._guards = Guards(sources)
        ledger = Ledger(label) if ledger is None else ledger
        self._teller = Teller(settings, sources)
        self._turn = Turn(label, ledger, self.poison)
        self._touched: set[int] = set()
        self._retell: set[str] = set()
        self._schedule = Schedule()
        self._looker = Looker(settings, label, ledger, self._schedule, self.models)

    # -- state in and out ----------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, customer_id: str) -> bool:
        return customer_id in self._table.index

    def load(self, customer_id: str, raw: bytes | None) -> None:
        """Take a changelog record while recovering; None (a tombstone) forgets the customer.

        Raises models.state.StateError for foreign bytes.
        """
        if raw is None:
            self._table.remove(customer_id)
        else:
            self._table.put(customer_id, raw)

    def restore(self, dump: TableDump) -> None:
        """Take a whole dump, before any `load`. Raises models.state.StateError if its columns are not ours."""
        self._table = Table.restore(dump)

    def loaded(self) -> None:
        """Plan what is due, score ranks and guards from what was loaded. Call once after recovery."""
        core = self._table.core
        self._schedule.plan(core[:, t.DUE_AT])
        self._marks.recover(float(core[:, t.WATERMARK].max(initial=NEVER)))
        self._teller.ranks.fill(core[:, t.PROBABILITY])
        self._guards.recover(self._table)

    def dump(self) -> TableDump:
        """A consistent copy of all states as of the last flush. Events that wait for a flush are not in it."""
        return self._table.dump()

    def customer(self, customer_id: str, now: float) -> dict[str, Any] | None:
        """Everything known of one customer as of `now`, in plain types; None if unknown."""
        self._fold(now)
        row = self._table.index.get(customer_id)
        return None if row is None else customer_facts(self._table, row, now, self._guards.names)

    def features(self, customer_ids: Iterable[str], now: float) -> dict[str, list[float]]:
        """Exact feature vectors as of `now` of those customers that are known."""
        self._fold(now)
        known = [customer_id for customer_id in customer_ids if customer_id in self._table.index]
        rows = np.array([self._table.index[customer_id] for customer_id in known], dtype=np.int64)
        return dict(zip(known, self._table.features(rows, now).tolist(), strict=True))

    @property
    def known(self) -> Collection[str]:
        """The ids of all customers in memory, as they come and go."""
        return self._table.index

    def evict(self, now: float, idle_s: float, limit: int) -> list[tuple[str, bytes]]:
        """Take up to `limit` customers out of memory who are idle since `idle_s` seconds, and return their states.

        See `models.telling.idle_rows`. Call between a flush and the next `apply`.
        """
        if self._schedule.busy or self._touched:
            # Row numbers are in use; the next quiet moment is soon.
            return []
        rows = idle_rows(self._table, now - idle_s)[:limit]
        gone = self._states(rows)
        for customer_id, _ in gone:
            self._table.remove(customer_id)
        return gone

    # -- events --------------------------------------------------------------------------------------

    def apply(self, event: Event, source: str, offset: int, stream_time: float | None = None) -> Outcome:
        """Take one event for its customer. `source` is `topic/partition`, where it was first read from.

        `stream_time` (epoch seconds) moves the watermark in place of the event's own time, which can be wrong.
        """
        table = self._table
        row = table.index.get(event.customer_id)
        late = event.time < self._marks.value - self._max_late_s
        if row is None:
            if late:
                return LATE
            row = self._new_row(event.customer_id)
        guard = self._guards.sources[source]
        if offset > guard.seen:
            guard.seen = offset
        elif self._is_replayed(row, source, offset):
            return REPLAYED
        if late:
            return LATE
        guard.rows.append(row)
        guard.offsets.append(offset)
        self._touched.add(row)
        if event.message_id is not None:
            recent = table.blobs[t.RECENT]
            kept = remember(recent[row], message_digest(event.message_id), self._window)
            if kept is None:
                return DUPLICATE
            recent[row] = kept
        self._turn.add(row, event, source, offset)
        if source in self._paced or not self._paced:
            self._marks.advance(source, event.time if stream_time is None else stream_time)
        return APPLIED

    def _new_row(self, customer_id: str) -> int:
        raw = self.missing(customer_id)
        if raw is None:
            return self._table.add(customer_id)
        row = self._table.put(customer_id, raw)
        # After a restart nobody in memory may have seen as much of a source as this customer has.
        self._guards.learn(self._table, row)
        return row

    def _is_replayed(self, row: int, source: str, offset: int) -> bool:
        # Not beyond everything seen of this source, so the customer's own offset decides.
        self._guards.settle(self._table)
        return offset <= self._guards.last(self._table, row, source)

    def retell(self, customer_ids: Iterable[str]) -> None:
        """Emit state and score of these customers again at the next flush, whatever changed."""
        self._retell.update(customer_ids)

    def recheck_all(self) -> None:
        """Score every customer again in the coming flushes, for example because another model is served."""
        self._schedule.recheck(len(self._table))

    def has_due(self, now: float) -> bool:
        """Whether another flush as of `now` has customers to look at."""
        return self._schedule.waiting(now)

    def _fold(self, now: float) -> None:
        self._guards.settle(self._table)
        self._turn.fold(self._table, now)

    @property
    def holds_ready(self) -> bool:
        """Whether examples were held back that a flush would give now."""
        return self._schedule.holds_ready(self.durable_until)

    @property
    def newest_snapshot(self) -> float:
        """When the newest prediction that is kept was made, epoch seconds; negative infinite without any."""
        return float(self._table.core[:, t.SNAPSHOT_AT].max(initial=NEVER))

    # -- the flush -----------------------------------------------------------------------------------

    def look(self, now: float) -> Look:
        """Settle and score as of `now` touched customers and up to 2,000 that the clock has come for; tell nothing.

        What a backtest needs of a flush. Whose ids: `ids`.
        """
        return self._look(now, self._take())

    def ids(self, rows: Rows) -> list[str]:
        """The customers of rows of a look, until customers are evicted."""
        return [self._table.ids[row] for row in rows.tolist()]

    def flush(self, now: float, wall: float) -> Flush:
        """A `look`, and what is to be told of it: scores that are worth it, states of all that changed."""
        table = self._table
        told_again = {row for customer_id in self._retell if (row := table.index.get(customer_id)) is not None}
        self._retell = set()
        look = self._look(now, self._take() | told_again)
        if not len(look.rows):
            return Flush([], [], [], [])
        again = np.isin(look.rows, np.fromiter(told_again, np.int64, len(told_again)))
        changed, stamps = look.changed, self._stamps(now, wall)
        told, scores = self._teller.tell(table, self.models.first, look, again[look.eligible], stamps)
        changed[look.eligible] |= told
        gone = self._looker.left(table, look)
        gone &= (table.core[look.rows, t.BAND] != LEFT) | again
        scores += self._teller.leave(table, self.models.first, look.rows[gone], now, stamps)
        changed |= gone
        return Flush(scores, look.examples, look.labels, self._states(look.rows[changed]))

    def _take(self) -> set[int]:
        touched, self._touched = self._touched, set()
        return touched

    def _look(self, now: float, touched: set[int]) -> Look:
        table = self._table
        self._fold(now)
        due = self._schedule.take(table.core[:, t.DUE_AT], now)
        released = self._schedule.released(self.durable_until)
        rows = np.array(sorted(touched.union(due, released)), dtype=np.int64)
        if touched:
            table.core[np.fromiter(touched, np.int64, len(touched)), t.WATERMARK] = self._marks.move()
        return self._looker.look(table, rows, touched, now, self.durable_until)

    def _states(self, rows: Rows) -> list[tuple[str, bytes]]:
        return list(zip(self.ids(rows), self._table.encode(rows, self.epoch), strict=True))

    @property
    def watermark(self) -> float:
        """Event time (epoch seconds) up to which the events of all sources that are not idle have come."""
        return self._marks.value

    def idle(self, source: str) -> None:
        """Say that a source has nothing more for now, so that it does not hold the watermark back."""
        self._marks.idle(source)

    def _stamps(self, now: float, wall: float) -> tuple[float, float, float]:
        return now, (self.watermark if self.watermark > NEVER else now), wall
