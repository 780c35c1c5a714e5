"""The run of a backtest: events in the order of their times, a flush at every step of a grid, a model after each.

One step is

1. apply every event up to and including the step's time;
2. let the engine look: settle what is due, score every customer of the cohort, keep what is to be settled later;
3. hand out the predictions;
4. learn the examples that the look gave; the models learned from them are in use from the next step on.

So no prediction knows an event after its time, nor a model that has learned from one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from models.backtest.audit import Auditor
from models.backtest.learning import Learning
from models.backtest.ledger import ColumnLedger
from models.backtest.order import Ordered, Timed
from models.backtest.predictions import Predictions
from models.backtest.truth import Truth
from models.churn.serving import ServingModel
from models.engine import APPLIED, Engine
from models.events.decode import decode
from models.events.types import Event, Rejection
from models.features.base import Feature
from models.features.layout import DAY_S, NEVER
from models.labels import DECIDES, UNWILLING, LabelDefinition, horizons_of
from models.look import Look
from models.records import Example
from models.settings import Settings

#: Topics whose offsets are kept in columns.
_SOURCES = ("clickstream/0", "purchases/0", "contact_center/0")


class Backtest:
    """One run. Iterate `run` once; everything else may be read at any time.

    Parameters
    ----------
    settings
        Label, trainer and event settings are used; scores are made every `every_s` seconds, whatever they say.
    features, feature_version
        What models are made for.
    now
        The present in epoch seconds, against which the decoder judges times in the future.
    every_s
        Step of the grid, which begins at midnight UTC.
    end
        Events at or after this time are not read, epoch seconds.
    auditor
        Is told of every event applied and every example learned.
    """

    def __init__(
        self, settings: Settings, features: Sequence[Feature], feature_version: str, *, now: float,
        every_s: float = DAY_S, end: float = math.inf, auditor: Auditor | None = None,
    ) -> None:  # fmt: skip
        score = msgspec.structs.replace(settings.score, rescore_every_s=every_s)
        self._settings = msgspec.structs.replace(settings, score=score)
        self._every_s, self._end, self._now = every_s, end, now
        self.learning = Learning(self._settings, features, feature_version)
        model = ServingModel.initial(features, feature_version, settings.label)
        definition = LabelDefinition(settings.label)
        self._ledger = ColumnLedger(definition) if ColumnLedger.fits(settings.label) else None
        self._engine = Engine(self._settings, model, _SOURCES, self._ledger)
        self._numbers: dict[str, int] = {}
        #: The id of each customer number.
        self.customers: list[str] = []
        self._auditor = auditor
        self._meaning = definition.meaning
        self.truth, self._recent = Truth(settings.label), Truth(settings.label)
        longest = settings.label.gap_days + max(horizons_of(settings.label))
        self._reach_s = longest * DAY_S + every_s
        self._deciding: dict[tuple[str, int], tuple[str, float, bool]] = {}
        self._offsets: Counter[str] = Counter()
        #: Events read; why some were refused by the decoder; what the engine made of the others.
        self.events = 0
        self.refused: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        #: Events applied by name.
        self.names: Counter[str] = Counter()
        self.newest = self.oldest = NEVER
        self.ordered: Ordered | None = None
        #: Since when (epoch seconds) which kind of model served the first horizon.
        self.served: list[tuple[float, str]] = []
        self._stopped = False
        self.cut = False

    @property
    def model(self) -> ServingModel:
        """The model in use for the first horizon."""
        return self._engine.models.first

    @property
    def models(self) -> Mapping[float, ServingModel]:
        """The models in use by horizon in days."""
        return self._engine.models.models

    @property
    def known_until(self) -> float:
        """Up to when all events were read, epoch seconds."""
        return self._end if self.cut else self.newest

    def stop(self) -> None:
        """End the run before the next event, as if the history ended there."""
        self._stopped = True

    def run(self, events: Iterable[Timed]) -> Iterator[Predictions]:
        """The predictions of every step, oldest first; bad events are counted, never fatal.

        The last step is the first one after the newest event, or the last one up to the end, but not of a stopped run.
        """
        self.ordered = Ordered(events)
        clock = math.nan
        for one in self.ordered:
            if self._stopped:
                return
            if one.time >= self._end:
                self.cut = True
                break
            self.events += 1
            event = decode(one.raw, one.topic, self._now, self._settings.events)
            if isinstance(event, Rejection):
                self.refused[event.reason] += 1
                continue
            if math.isnan(clock):
                self.oldest = event.time
                clock = math.ceil(event.time / self._every_s) * self._every_s
            while event.time > clock:
                yield from self._step(clock)
                clock += self._every_s
            self._apply(event, f"{one.topic}/0", one.raw)
        if not math.isnan(clock):
            yield from self._step(clock)
        while self.cut and clock + self._every_s <= self._end:
            clock += self._every_s
            yield from self._step(clock)

    def _apply(self, event: Event, source: str, raw: bytes) -> None:
        offset = self._offsets[source]
        self._offsets[source] += 1
        outcome = self._engine.apply(event, source, offset)
        self.outcomes[outcome] += 1
        self.newest = max(self.newest, event.time)
        if outcome == APPLIED:
            self.names[event.name] += 1
            bits = self._meaning(event.name, event.effect, event.cause)
            if bits & DECIDES:
                self._deciding[source, offset] = event.customer_id, event.time, bool(bits & UNWILLING)
            if self._auditor is not None:
                self._auditor.event(event, raw, bits)

    def _step(self, clock: float) -> Iterator[Predictions]:
        engine = self._engine
        looks: list[Look] = []
        while not looks or engine.has_due(clock):
            looks.append(engine.look(clock))
        # Nobody is evicted, so rows of the engine are never given to another customer.
        fresh = engine.ids(np.arange(len(self._numbers), len(engine)))
        self.customers += fresh
        self._numbers.update(zip(fresh, range(len(self._numbers), len(engine)), strict=True))
        touched = self._note_truth(clock)
        if not self.served or self.served[-1][1] != self.model.champion:
            self.served.append((clock, self.model.champion))
        yield from _predictions(clock, horizons_of(self._settings.label), [look for look in looks if len(look.scored)])
        examples: Iterable[Example] = (_as_sent(example) for look in looks for example in look.examples)
        if self._ledger is not None:
            examples = self._ledger.examples(clock, self._recent, touched, self.customers)
        for model in self.learning.take(examples, self._noted(clock)):
            engine.models.use(model)

    def _noted(self, clock: float) -> Callable[[Example], None]:
        auditor = self._auditor
        return (lambda _: None) if auditor is None else (lambda example: auditor.learned(example, clock))

    def _note_truth(self, clock: float) -> list[int]:
        """Look the events of this step up from now on; whose they were."""
        for poison in self._engine.poison:
            self._deciding.pop((poison.source, poison.offset), None)
            self.outcomes[APPLIED] -= 1
            self.refused["internal_error"] += 1
        self._engine.poison.clear()
        noted = [(self._numbers[who], time, unwilling) for who, time, unwilling in self._deciding.values()]
        self._deciding.clear()
        self._recent.forget(clock - self._reach_s)
        for number, time, unwilling in noted:
            self.truth.add(number, time, unwilling=unwilling)
            self._recent.add(number, time, unwilling=unwilling)
        return sorted({number for number, _, _ in noted})


def _as_sent(example: Example) -> Example:
    """What is not known is null on the topic."""
    features = tuple(None if value is None or math.isnan(value) else value for value in example.features)
    return msgspec.structs.replace(example, features=features)


def _predictions(clock: float, horizons: Sequence[float], looks: list[Look]) -> Iterator[Predictions]:
    if not looks:
        return
    # A customer who was touched and due at once may have been looked at twice: the same was said both times.
    rows, first = np.unique(np.concatenate([look.scored for look in looks]), return_index=True)
    features = np.concatenate([look.served for look in looks])[first]
    for number, days in enumerate(horizons):
        scored = [look.scores.of(number) for look in looks]
        probability, rule, prior = (
            np.concatenate(parts)[first]
            for parts in ([s.probability for s in scored], [s.rule for s in scored], [s.prior for s in scored])
        )
        yield Predictions(clock, days, rows, probability, rule, prior, scored[0].model, features)
