"""The churn engine of one partition: events in, scores, examples and changed states out. Pure.

The worker runs it behind Kafka, a backtest runs it in a loop over a file. One turn is

1. `apply` each event, in any order, with its source offset: guards, summaries, label marks;
2. `flush` as of a clock: settle what is due, score who was touched or is due, decide what is emitted,
   and hand back everything that must be made durable before the source offsets are committed.

Nothing here reads a clock: `now` is the time the features speak of, `wall` only stamps the records.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt

from models.churn.serving import Scored, ServingModel
from models.events.types import Event
from models.features import FEATURE_NAMES, FEATURE_VERSION, LISTENERS, feature_vector
from models.features.summary import NEVER
from models.labels import LabelDefinition, Snapshot
from models.ranks import Ranks
from models.records import Example, ModelRef, Reason, Score
from models.scoring import band_of, iso, readable, score_id, served
from models.settings import Settings
from models.state import CustomerState, decode_state, encode_state, peek_due
from models.timers import Timers

_DUE_AT_ONCE = 2000
Outcome = str
APPLIED, REPLAYED, DUPLICATE = "applied", "replayed", "duplicate"


class Flush(msgspec.Struct, frozen=True):
    """What one flush produced. `states` are (customer id, changelog value)."""

    scores: list[Score]
    examples: list[Example]
    states: list[tuple[str, bytes]]


class Engine:
    """See the module's docstring. Not safe for concurrent use."""

    def __init__(self, settings: Settings, model: ServingModel) -> None:
        self.model = model
        self.watermark = NEVER
        self._settings = settings
        self._score = settings.score
        self._window = settings.worker.duplicate_window
        self._label = LabelDefinition(settings.label)
        self._snapshot_every_s = settings.label.snapshot_every_days * 86_400.0
        self._customers: dict[str, CustomerState | bytes] = {}
        self._timers = Timers()
        self._touched: set[str] = set()
        self._recheck: set[str] = set()
        self._ranks = Ranks()

    def __len__(self) -> int:
        return len(self._customers)

    def __contains__(self, customer_id: str) -> bool:
        return customer_id in self._customers

    def load(self, customer_id: str, raw: bytes | None) -> None:
        """Take a changelog record while recovering; None (a tombstone) forgets the customer.

        Raises models.state.StateError for foreign bytes.
        """
        if raw is None:
            self._customers.pop(customer_id, None)
            return
        peek_due(raw)
        self._customers[customer_id] = raw

    def loaded(self) -> None:
        """Plan timers and score ranks from what `load` took. Call once after recovery."""
        for customer_id, held in self._customers.items():
            if isinstance(held, bytes):
                due_at, probability = peek_due(held)
                self._timers.plan(customer_id, due_at)
                self._ranks.move(math.nan, probability)

    def customer(self, customer_id: str) -> CustomerState | None:
        """The state of one customer, decoded if it was not yet; None if unknown."""
        held = self._customers.get(customer_id)
        if isinstance(held, bytes):
            held = self._customers[customer_id] = decode_state(held)
        return held

    def customers(self) -> Iterable[CustomerState]:
        """All states, decoded."""
        for customer_id in list(self._customers):
            state = self.customer(customer_id)
            if state is not None:
                yield state

    def apply(self, event: Event, source: str, offset: int) -> Outcome:
        """Fold one event into its customer. `source` is `topic/partition`, where it was first read from."""
        state = self.customer(event.customer_id)
        if state is None:
            state = self._customers[event.customer_id] = CustomerState(event.customer_id)
        if offset <= state.offsets.get(source, -1):
            return REPLAYED
        state.offsets[source] = offset
        self._touched.add(event.customer_id)
        if event.message_id is not None and state.is_duplicate(event.message_id, self._window):
            return DUPLICATE
        for group in LISTENERS.get(event.effect, ()):
            group.observe(state.summary(group.name), event)
        self._label.observe(state.label, state.pending, event)
        self.watermark = max(self.watermark, event.time)
        return APPLIED

    def recheck_all(self) -> None:
        """Score every customer again in the coming flushes, for example because another model is served."""
        self._recheck.update(self._customers)

    def has_due(self, now: float) -> bool:
        """Whether another flush as of `now` has customers to look at."""
        return bool(self._recheck) or self._timers.waiting(now)

    def flush(self, now: float, wall: float) -> Flush:
        """Settle, score and emit as of `now` for touched customers and up to 2,000 that the clock has come for."""
        changed = self._touched
        self._touched = set()
        states = [state for key in sorted(changed | self._due(now)) if (state := self.customer(key)) is not None]
        examples = [example for state in states for example in self._settle(state, now, changed)]
        eligible = [state for state in states if self._label.eligible(state.label, now)]
        scores = self._score_all(eligible, now, wall, changed)
        cohort = {state.customer_id for state in eligible}
        for state in states:
            if state.customer_id not in cohort:
                for summary in state.summaries.values():
                    summary.prune(now)
                scores += self._leave(state, now, wall, changed)
        for state in states:
            self._timers.plan(state.customer_id, state.due_at)
        return Flush(scores, examples, [(s.customer_id, encode_state(s)) for s in states if s.customer_id in changed])

    # -- settling ------------------------------------------------------------------------------------

    def _settle(self, state: CustomerState, now: float, changed: set[str]) -> list[Example]:
        known = [
            (snapshot, truth) for snapshot in state.pending if (truth := self._label.truth(snapshot, now)) is not None
        ]
        if not known:
            return []
        settled = {id(snapshot) for snapshot, _ in known}
        state.pending = [snapshot for snapshot in state.pending if id(snapshot) not in settled]
        changed.add(state.customer_id)
        return [self._example(state.customer_id, snapshot, truth, now) for snapshot, truth in known]

    def _example(self, customer_id: str, snapshot: Snapshot, truth: int, now: float) -> Example:
        row = np.frombuffer(snapshot.vector, dtype="<f4")
        return Example(
            example_id=f"{customer_id}@{snapshot.as_of:.3f}",
            customer_id=customer_id,
            as_of=snapshot.as_of,
            matured_at=now,
            horizon_days=self._label.settings.horizon_days,
            label=truth,
            probability=snapshot.probability,
            rule_probability=snapshot.rule_probability,
            prior_probability=snapshot.prior_probability,
            model=ModelRef(snapshot.model_name, snapshot.model_version),
            feature_version=snapshot.feature_version,
            features=tuple(readable(row).tolist()),
        )

    # -- scoring -------------------------------------------------------------------------------------

    def _score_all(self, states: list[CustomerState], now: float, wall: float, changed: set[str]) -> list[Score]:
        if not states:
            return []
        exact = np.array([feature_vector(state.summaries, now) for state in states], dtype=np.float64)
        rows = served(exact)
        scored = self.model.score(rows)
        stamp = self._stamp(now, wall)
        probabilities = scored.probability.tolist()
        for i, state in enumerate(states):
            self._remember(state, rows[i], scored, i, now, changed)
            state.due_at = min(self._next_look(now), self._label.due_at(state.pending))
        told = [i for i, state in enumerate(states) if self._worth_telling(state, probabilities[i], now)]
        changed.update(states[i].customer_id for i in told)
        reasons = self.model.reasons(rows[told], self._score.top_reasons)
        return [
            self._emit(states[i], probabilities[i], now, stamp, rows[i], why)
            for i, why in zip(told, reasons, strict=True)
        ]

    def _next_look(self, now: float) -> float:
        # On a common grid, so that all silent customers of a partition are scored in one matrix.
        every = self._score.rescore_every_s
        return (math.floor(now / every) + 1) * every

    def _remember(
        self, state: CustomerState, row: npt.NDArray[np.float32], scored: Scored, i: int, now: float, changed: set[str]
    ) -> None:
        if now - state.snapshot_at < self._snapshot_every_s or len(state.pending) >= self._label.settings.max_pending:
            return
        state.snapshot_at = now
        for summary in state.summaries.values():
            summary.prune(now)
        changed.add(state.customer_id)
        state.pending.append(
            Snapshot(
                now, float(scored.probability[i]), float(scored.rule[i]), float(scored.prior[i]),
                self.model.source, self.model.version, FEATURE_VERSION, row.tobytes(),
            )
        )  # fmt: skip

    def _worth_telling(self, state: CustomerState, probability: float, now: float) -> bool:
        last = state.last
        return (
            last.revision == 0
            or band_of(probability, self._score) != last.band
            or abs(probability - last.probability) >= self._score.min_change
            or now - last.emitted_at >= self._score.refresh_every_s
        )

    def _emit(
        self, state: CustomerState, probability: float, now: float,
        stamp: tuple[str, str, str], row: npt.NDArray[np.float32], reasons: tuple[Reason, ...],
    ) -> Score:  # fmt: skip
        last = state.last
        self._ranks.move(last.probability, probability)
        last.probability, last.band = probability, band_of(probability, self._score)
        last.revision, last.emitted_at, last.model = last.revision + 1, now, self.model.source
        return self._record(state, stamp, row, reasons, eligible=True)

    def _leave(self, state: CustomerState, now: float, wall: float, changed: set[str]) -> list[Score]:
        """Tell once that a customer is out of the cohort: has left, or was silent for too long."""
        state.due_at = self._label.due_at(state.pending)
        last = state.last
        if last.band == "left" or not self._label.known(state.label) or last.revision == 0:
            return []
        self._ranks.move(last.probability, math.nan)
        last.probability, last.band = math.nan, "left"
        last.revision, last.emitted_at = last.revision + 1, now
        changed.add(state.customer_id)
        row = served(np.array([feature_vector(state.summaries, now)], dtype=np.float64))[0]
        return [self._record(state, self._stamp(now, wall), row, (), eligible=False)]

    def _due(self, now: float) -> set[str]:
        due: set[str] = set()
        while self._recheck and len(due) < _DUE_AT_ONCE:
            due.add(self._recheck.pop())
        return due | self._timers.take(now, _DUE_AT_ONCE, lambda customer_id: self._is_due(customer_id, now))

    def _is_due(self, customer_id: str, now: float) -> bool:
        state = self.customer(customer_id)
        return state is not None and state.due_at <= now

    def _record(
        self, state: CustomerState, stamp: tuple[str, str, str], row: npt.NDArray[np.float32],
        reasons: tuple[Reason, ...], *, eligible: bool,
    ) -> Score:  # fmt: skip
        last, (as_of, watermark, scored_at) = state.last, stamp
        probability = last.probability if eligible else 1.0
        return Score(
            score_id=score_id(state.customer_id, last.revision, as_of, self.model.version),
            customer_id=state.customer_id,
            probability=probability,
            band=last.band,
            likelihood_to_churn=eligible and probability >= self._score.likely_from,
            eligible=eligible,
            percentile=self._ranks.percentile(probability),
            horizon_days=self._label.settings.horizon_days,
            label_kind=self._label.settings.kind,
            reasons=reasons,
            model=ModelRef(self.model.source, self.model.version),
            feature_version=FEATURE_VERSION,
            source_offsets=dict(state.offsets),
            as_of=as_of,
            event_watermark=watermark,
            scored_at=scored_at,
            revision=last.revision,
            features=dict(zip(FEATURE_NAMES, readable(row).tolist(), strict=True)),
        )

    def _stamp(self, now: float, wall: float) -> tuple[str, str, str]:
        return iso(now), iso(self.watermark if self.watermark > NEVER else now), iso(wall)
