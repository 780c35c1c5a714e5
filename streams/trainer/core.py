"""The trainer without its transport: records of topic `examples` in, records of topic `model` out.

Two records are published together, in this order: the checkpoint (key `<label>:checkpoint`: all that was learned and
the offset of the last example in it) and the model (key `<label>`: what scorers apply). They lie in one partition, so
whoever has read a model has passed its checkpoint.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from models.churn.learner import Learner
from models.churn.record import InvalidModel, label_key
from models.churn.serving import ServingModel
from models.churn.waiting import WaitingRoom
from models.events.quarantine import quarantine_record
from models.events.types import Rejection
from models.features.base import Feature
from models.records import Example
from models.settings import Settings
from models.state import message_digest
from streams.chunks import Outgoing
from streams.topics import EXAMPLES

log = logging.getLogger(__name__)

#: Why an example was not learned.
ALREADY_LEARNED = "already_learned"
DUPLICATE = "duplicate"
MALFORMED = "malformed"
OTHER_FEATURES = "other_features"
OTHER_LABEL = "other_label"
LOST_WAITING = "lost_waiting"
_CHECKPOINT_FORMAT = 3
#: Examples among which a repeated one is noticed. A worker that is killed between writing examples and states writes
#: the same examples again when it is back: at most what a few of its turns brought forth, with others' in between.
REMEMBERED = 50_000
_MAX_KEY_BYTES = 1000

#: What msgspec raises for bytes that are not what is expected; RecursionError when they are nested too deep.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_examples = msgspec.json.Decoder(Example)


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The value of a checkpoint record. `sha256` is that of the bytes of `state`.

    `offset` is that of the last example read. `waiting` of those at or above offset `waiting_from` were not learned:
    the ones whose horizon ends after `clock` (epoch seconds). They are read again instead of being stored.
    """

    format: int
    offset: int
    clock: float
    waiting: int
    waiting_from: int | None
    sha256: str
    state: msgspec.Raw


_checkpoints = msgspec.json.Decoder(Checkpoint)


class TrainerCore:
    """Reads examples in offset order, each offset once, learns them when due, and writes what is to be published.

    After `restore`, records from `read_back_from` to `offset` must be given to `put_back` before the first `take`.
    """

    def __init__(self, settings: Settings, features: Sequence[Feature], feature_version: str) -> None:
        self._settings = settings
        self._features, self._feature_version = features, feature_version
        self.learner = Learner(features, feature_version, settings.label, settings.trainer)
        self.key = label_key(settings.label.kind, settings.label.horizon_days)
        self.offset = -1
        #: The last offset looked at, whether or not its record was an example to learn.
        self.position = -1
        self.waiting_from: int | None = None
        self.waiting = WaitingRoom(settings.trainer.max_waiting)
        self._to_put_back = 0
        self._told_of_early = False
        self._recent: dict[bytes, None] = {}
        self.unpublished = 0
        self.learned: Counter[int] = Counter()
        self.skipped: Counter[str] = Counter()

    @property
    def checkpoint_key(self) -> str:
        """The record key of the checkpoint."""
        return f"{self.key}:checkpoint"

    def restore(self, checkpoints: Iterable[bytes], model: bytes | None) -> None:
        """Go on from the usable one of `checkpoints` that got furthest. `model` is the newest published model.

        The last one written need not be it: a trainer that was stopped and lost its partition may write its own late.
        A checkpoint that fails its checks is logged and passed over; without a usable one the learner starts fresh.
        The model is due for publishing again when it is not what the checkpoint would publish.
        """
        for raw in checkpoints:
            try:
                learner, checkpoint = self._open(raw)
            except InvalidModel as error:
                log.error("passed over a checkpoint of %d bytes: %s", len(raw), error)
                continue
            if checkpoint.offset >= self.offset:
                self.learner, self.offset, self.waiting_from = learner, checkpoint.offset, checkpoint.waiting_from
                self._to_put_back = checkpoint.waiting
                self.waiting = WaitingRoom(self._settings.trainer.max_waiting, checkpoint.clock)
        self.position = self.offset
        if self.offset >= 0 and self.model().to_record() != model:
            self.unpublished = 1

    @property
    def read_back_from(self) -> int:
        """The offset from which on examples wait for their horizon, or are remembered as read."""
        remembered_from = max(0, self.offset - REMEMBERED + 1)
        return remembered_from if self.waiting_from is None else min(self.waiting_from, remembered_from)

    def put_back(self, records: Iterable[Any]) -> None:
        """Remember what was read before the checkpoint was written, and let wait again what waited then."""
        for record in records:
            if record.offset > self.offset:
                continue
            try:
                example = _examples.decode(record.value or b"")
                fit = self._unfit(example) is None
            except _UNREADABLE:
                continue
            if not fit:
                continue
            self._remember(example)
            waited = self.waiting_from is not None and record.offset >= self.waiting_from
            if waited and self.waiting.put_back(example, record.offset):
                self._to_put_back -= 1

    def all_put_back(self) -> None:
        """Count what the topic no longer holds of the examples that waited. They are lost to the learner."""
        if self._to_put_back > 0:
            log.error("%d examples that waited for their horizon are gone from the topic", self._to_put_back)
            self.skipped[LOST_WAITING] += self._to_put_back
        self._to_put_back = 0

    def take(self, records: Sequence[Any], now: float) -> list[Outgoing]:
        """Read the records of a chunk that were not read before, and learn what is due.

        `now` in epoch seconds is when they were read. Returns the quarantine records of those that are malformed.
        """
        refused: list[Outgoing] = []
        for record in records:
            if record.offset <= self.offset:
                self.skipped[ALREADY_LEARNED] += 1
                continue
            self.position = max(self.position, record.offset)
            try:
                example = _examples.decode(record.value if record.value is not None else b"")
                reason = self._unfit(example)
            except _UNREADABLE as error:
                self.skipped[MALFORMED] += 1
                refused.append(_quarantine(record, str(error), now))
                continue
            if reason is not None:
                self.skipped[reason] += 1
                continue
            if self._is_duplicate(example):
                self.skipped[DUPLICATE] += 1
                continue
            self.offset = record.offset
            self.unpublished += 1
            self._learn_due(self.waiting.add(example, record.offset))
        return refused

    def _learn_due(self, released: Iterable[Example]) -> None:
        for example in released:
            self.learner.learn(example)
            self.learned[example.label] += 1
        if self.waiting.early and not self._told_of_early:
            self._told_of_early = True
            log.warning("positives are learned before their horizon ends: more would wait than trainer.max_waiting")

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

    def model(self) -> ServingModel:
        """The model of everything learned so far."""
        return self.learner.serving(self.offset)

    def publication(self) -> list[Outgoing]:
        """The records to send now: checkpoint, then model. What they hold counts as published."""
        self.unpublished = 0
        checkpoint = Outgoing(self.checkpoint_key.encode(), self._checkpoint())
        return [checkpoint, Outgoing(self.key.encode(), self.model().to_record())]

    def _unfit(self, example: Example) -> str | None:
        """Why a well-formed example must not be learned; `msgspec.ValidationError` when it contradicts itself."""
        if example.feature_version != self._feature_version:
            return OTHER_FEATURES
        if example.horizon_days != self._settings.label.horizon_days:
            return OTHER_LABEL
        if len(example.features) != len(self._features):
            raise msgspec.ValidationError(
                f"{len(example.features)} features of version '{example.feature_version}' "
                f"(allowed: {len(self._features)})"
            )
        if any(abs(value) > _LARGEST_FEATURE for value in example.features if value is not None):
            raise msgspec.ValidationError(f"a feature is beyond {_LARGEST_FEATURE} (vectors are 32-bit floats)")
        return None

    def _checkpoint(self) -> bytes:
        state = msgspec.json.encode(self.learner.checkpoint())
        digest = hashlib.sha256(state).hexdigest()
        waiting = self.waiting
        checkpoint = Checkpoint(
            format=_CHECKPOINT_FORMAT,
            offset=self.offset,
            clock=waiting.clock,
            waiting=len(waiting),
            waiting_from=waiting.first_offset,
            sha256=digest,
            state=msgspec.Raw(state),
        )
        return msgspec.json.encode(checkpoint)

    def _open(self, raw: bytes) -> tuple[Learner, Checkpoint]:
        try:
            checkpoint = _checkpoints.decode(raw)
            plain = msgspec.json.decode(checkpoint.state)
        except _UNREADABLE as error:
            raise InvalidModel(f"not a checkpoint: {error}") from error
        digest = hashlib.sha256(bytes(checkpoint.state)).hexdigest()
        if checkpoint.format != _CHECKPOINT_FORMAT or checkpoint.sha256 != digest or checkpoint.offset < 0:
            raise InvalidModel(
                f"format {checkpoint.format}, offset {checkpoint.offset}, sha256 '{checkpoint.sha256[:80]}' "
                f"(allowed: format {_CHECKPOINT_FORMAT}, offset from 0, sha256 '{digest}')"
            )
        if not isinstance(plain, dict):
            raise InvalidModel("the checkpoint's state is not an object")
        settings = self._settings
        learner = Learner.restore(plain, self._features, self._feature_version, settings.label, settings.trainer)
        return learner, checkpoint


#: The largest 32-bit float.
_LARGEST_FEATURE = 3.4028234663852886e38


def _quarantine(record: Any, detail: str, now: float) -> Outgoing:
    value = quarantine_record(
        Rejection("malformed_example", detail),
        topic=EXAMPLES, partition=record.partition, offset=record.offset, key=record.key, raw=record.value, at=now,
    )  # fmt: skip
    return Outgoing(record.key if record.key and len(record.key) <= _MAX_KEY_BYTES else None, value.to_json())
