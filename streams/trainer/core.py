"""The trainer of one horizon without its transport: examples and commands in, records of topic `model` out.

What is published together, in this order:

1. `<label>:version:<version>`: versions newly kept;
2. `<label>:checkpoint`: all that was learned and the offset of the last record in it (`streams.trainer.checkpoint`);
3. `<label>`: the model that scorers apply; its header `moved` counts the moves of what is served;
4. `<label>:history`: how the models stand (`streams.history`);
5. deletions of what is kept no longer.

They lie in one partition, so whoever has read a model has passed its checkpoint.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from models.churn.learner import Learner
from models.churn.record import InvalidModel
from models.churn.serving import ServingModel
from models.churn.waiting import WaitingRoom, due_at
from models.features.base import Feature
from models.labels import horizons_of
from models.records import Example
from models.settings import Settings
from models.state import message_digest
from streams.chunks import Outgoing
from streams.history import History, encode_history, history_key
from streams.trainer import checkpoint as checkpoints
from streams.trainer.archive import Archive
from streams.trainer.reading import Read
from streams.trainer.steering import Steering
from streams.worker.model_feed import MOVED_HEADER

log = logging.getLogger(__name__)

#: Why a record was not learned.
ALREADY_LEARNED = "already_learned"
DUPLICATE = "duplicate"
MALFORMED = "malformed"
OTHER_FEATURES = "other_features"
OTHER_LABEL = "other_label"
LOST_WAITING = "lost_waiting"
#: Examples among which a repeated one is noticed. A worker that is killed between writing examples and states writes
#: the same examples again when it is back: at most what a few of its turns brought forth, with others' in between.
REMEMBERED = 50_000


class TrainerCore:
    """Reads records in offset order, each offset once, learns examples when due, and writes what is to be published.

    After `restore`, records from `read_back_from` to `offset` must be given to `put_back` before the first `take`.
    """

    def __init__(
        self, settings: Settings, features: Sequence[Feature], feature_version: str, horizon_days: float | None = None
    ) -> None:
        """A trainer of one horizon of the label, its first one if none is given."""
        self._settings = settings
        self._features, self._feature_version, self._horizon_days = features, feature_version, horizon_days
        learner = Learner(features, feature_version, settings.label, settings.trainer, horizon_days, settings.drift)
        self.key = learner.key
        self.steering = Steering(learner, Archive(self.key, settings.trainer.keep_versions), features)
        self.offset = -1
        #: The last offset looked at, whether or not its record was one for this horizon.
        self.position = -1
        self.waiting_from: int | None = None
        self.waiting = WaitingRoom(settings.trainer.max_waiting)
        self.unpublished = 0
        self.learned: Counter[int] = Counter()
        self.skipped: Counter[str] = Counter()
        self._pieces: list[str] = []
        self._sent: bytes | None = None
        self._to_put_back = 0
        self._told_of_early = False
        self._recent: dict[bytes, None] = {}

    @property
    def learner(self) -> Learner:
        """What learns."""
        return self.steering.learner

    @property
    def checkpoint_key(self) -> str:
        """The record key of the checkpoint."""
        return f"{self.key}:checkpoint"

    # -- restart -------------------------------------------------------------------------------------

    def restore(self, heads: Iterable[bytes], records: Mapping[bytes, bytes]) -> None:
        """Go on from the usable checkpoint that got furthest. `records` are the newest of topic `model`, by key.

        The last one written need not be it: a trainer that was stopped and lost its partition may write its own late.
        A checkpoint that fails its checks is logged and passed over; without a usable one the learner starts fresh.
        All is due for publishing again when the topic does not hold what the checkpoint would publish.
        """
        best: checkpoints.Checkpoint | None = None
        for raw in heads:
            try:
                found, plain = checkpoints.read(raw, records)
                learner = Learner.restore(
                    plain, self._features, self._feature_version, self._settings.label, self._settings.trainer,
                    self._horizon_days, self._settings.drift,
                )  # fmt: skip
            except InvalidModel as error:
                log.error("passed over a checkpoint of %d bytes: %s", len(raw), error)
                continue
            if best is None or found.offset >= best.offset:
                best, self.steering.learner = found, learner
        if best is None:
            return
        self.offset = self.position = best.offset
        self.waiting_from, self._to_put_back = best.waiting_from, best.waiting
        clock = -math.inf if best.clock is None else best.clock
        self.waiting = WaitingRoom(self._settings.trainer.max_waiting, clock)
        self.steering.answers, self._pieces = list(best.answers), list(best.pieces)
        archive = self.steering.archive
        archive.restore(best.versions, records)
        prefix, named = f"{self.checkpoint_key}:".encode(), {name.encode() for name in best.pieces}
        archive.erase(key for key in records if key.startswith(prefix) and key not in named)
        served = self.model()
        history = encode_history(self._history(served, self._to_put_back))
        self._sent = records.get(self.key.encode())
        if self._sent != served.to_record() or records.get(history_key(self.key)) != history or not archive.clean:
            self.unpublished = 1

    @property
    def read_back_from(self) -> int:
        """The offset from which on examples wait for their horizon, or are remembered as read."""
        remembered_from = max(0, self.offset - REMEMBERED + 1)
        return remembered_from if self.waiting_from is None else min(self.waiting_from, remembered_from)

    def put_back(self, read: Iterable[Read]) -> None:
        """Remember what was read before the checkpoint was written, and let wait again what waited then."""
        for one in read:
            offset, example = one.record.offset, one.example
            if offset > self.offset or example is None or self._unfit(example) is not None:
                continue
            self._remember(example)
            waited = self.waiting_from is not None and offset >= self.waiting_from
            if waited and self.waiting.put_back(example, offset):
                self._to_put_back -= 1

    def all_put_back(self) -> None:
        """Count what the topic no longer holds of the examples that waited. They are lost to the learner."""
        if self._to_put_back > 0:
            log.error("%d examples that waited for their horizon are gone from the topic", self._to_put_back)
            self.skipped[LOST_WAITING] += self._to_put_back
        self._to_put_back = 0

    # -- examples and commands -----------------------------------------------------------------------

    def take(self, read: Iterable[Read]) -> None:
        """Take records that were not taken before: do what commands say, learn the examples that are due."""
        for one in read:
            offset = one.record.offset
            if offset <= self.offset:
                self.skipped[ALREADY_LEARNED] += 1
                continue
            self.position = max(self.position, offset)
            if one.control is not None and one.control.key in ("", self.key):
                self.offset = offset
                self.unpublished += 1
                self.steering.obey(one.control, offset, self.waiting.clock)
            elif one.example is not None:
                self._take_example(one.example, offset)

    def _take_example(self, example: Example, offset: int) -> None:
        reason = self._unfit(example)
        if reason is None and self._is_duplicate(example):
            reason = DUPLICATE
        if reason is not None:
            if reason:
                self.skipped[reason] += 1
            return
        self.offset = offset
        self.unpublished += 1
        for due in self.waiting.add(example, offset):
            self._learn(due)
        if self.waiting.early and not self._told_of_early:
            self._told_of_early = True
            log.warning("positives are learned before their horizon ends: more would wait than trainer.max_waiting")

    def _learn(self, example: Example) -> None:
        before, at = self.learner.champion, due_at(example)
        self.learner.learn(example)
        self.learned[example.label] += 1
        if self.learner.champion != before:
            self.steering.moved(before, self.offset, at)
        elif self.steering.versions.new_day(at):
            self.steering.keep_day(self.offset, at)

    def _is_duplicate(self, example: Example) -> bool:
        return example.example_id in self.waiting or not self._remember(example)

    def _remember(self, example: Example) -> bool:
        """Add an example to those that a repeat is told by; False if it is among them."""
        digest = message_digest(example.example_id)
        if digest in self._recent:
            return False
        self._recent[digest] = None
        if len(self._recent) > REMEMBERED:
            del self._recent[next(iter(self._recent))]
        return True

    def _unfit(self, example: Example) -> str | None:
        """Why a well-formed example must not be learned here; empty if another horizon of the label learns it."""
        label = self._settings.label
        if example.feature_version != self._feature_version:
            return OTHER_FEATURES
        if example.horizon_days == self.learner.horizon_days and example.gap_days == label.gap_days:
            return None
        known = example.horizon_days in horizons_of(label) and example.gap_days == label.gap_days
        return "" if known else OTHER_LABEL

    # -- what is published ---------------------------------------------------------------------------

    def model(self) -> ServingModel:
        """The model to serve: of everything learned so far, or the pinned one."""
        return self.steering.served_model(self.offset)

    def publication(self) -> list[Outgoing]:
        """The records to send now, see the module's docstring. What they hold counts as published."""
        self.unpublished = 0
        archive, model = self.steering.archive, self.model()
        written = self._checkpoint()
        archive.erase(name.encode() for name in self._pieces if name not in written.pieces)
        self._pieces = written.pieces
        records = archive.unsent() + written.records
        raw = model.to_record()
        if raw != self._sent:
            moved = (MOVED_HEADER, str(archive.versions.moved).encode())
            records.append(Outgoing(self.key.encode(), raw, headers=(moved,)))
            self._sent = raw
        records.append(Outgoing(history_key(self.key), encode_history(self._history(model, len(self.waiting)))))
        return records + archive.deletions()

    def _checkpoint(self) -> checkpoints.Written:
        waiting = self.waiting
        return checkpoints.write(
            self.checkpoint_key,
            self.learner.checkpoint(),
            offset=self.offset,
            clock=self._clock(),
            examples=self.learner.examples,
            waiting=len(waiting),
            waiting_from=waiting.first_offset,
            versions=self.steering.versions,
            answers=self.steering.answers,
        )

    def _history(self, model: ServingModel, waiting: int) -> History:
        learner, trainer = self.learner, self._settings.trainer
        return History(
            key=self.key,
            served=model.version,
            champion=learner.champion,
            why=learner.contest.why,
            promotion=trainer.promotion,
            promotion_error=learner.contest.error,
            offset=self.offset,
            examples=learner.examples,
            positives=learner.positives,
            waiting=waiting,
            clock=self._clock(),
            standings=tuple(learner.standings()),
            drift=tuple(learner.alarms.last),
            versions=self.steering.versions,
            answers=tuple(self.steering.answers),
        )

    def _clock(self) -> float | None:
        """The event time up to which examples were learned; None before the first."""
        return self.waiting.clock if math.isfinite(self.waiting.clock) else None
