"""The trainers of all horizons of the label as one: they read the same topic and publish together."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any

from models.events.quarantine import quarantine_record
from models.events.types import Rejection
from models.features.base import Feature
from models.labels import horizons_of
from models.settings import Settings
from streams.chunks import Outgoing
from streams.topics import EXAMPLES
from streams.trainer.core import MALFORMED, TrainerCore
from streams.trainer.reading import Read, read_records

_MAX_KEY_BYTES = 1000
_KEPT_CHECKPOINTS = 3


class Stored:
    """What is left on topic `model`: the newest record of each key, and the last few checkpoints of each trainer."""

    def __init__(self, checkpoint_keys: Iterable[str]) -> None:
        self.heads: dict[bytes, deque[bytes]] = {
            key.encode(): deque[bytes](maxlen=_KEPT_CHECKPOINTS) for key in checkpoint_keys
        }
        self.records: dict[bytes, bytes] = {}

    def add(self, key: bytes | None, value: bytes | None) -> None:
        """Take a record in the order of the topic."""
        if key is None:
            return
        if value is None:
            self.records.pop(key, None)
            return
        if key in self.heads:
            self.heads[key].append(value)
        self.records[key] = value


class TrainerGroup:
    """One `TrainerCore` per horizon, the one that is served first; used like one of them."""

    def __init__(self, settings: Settings, features: Sequence[Feature], feature_version: str) -> None:
        self._features, self._feature_version = features, feature_version
        self.cores = [TrainerCore(settings, features, feature_version, days) for days in horizons_of(settings.label)]
        self._malformed = 0

    @property
    def first(self) -> TrainerCore:
        """The trainer of the horizon that is told and acted on."""
        return self.cores[0]

    @property
    def position(self) -> int:
        """The last offset that all have looked at."""
        return min(core.position for core in self.cores)

    @property
    def offset(self) -> int:
        """The last offset that any has taken."""
        return max(core.offset for core in self.cores)

    @property
    def unpublished(self) -> int:
        """Most records that one of them has taken and not published."""
        return max(core.unpublished for core in self.cores)

    @property
    def skipped(self) -> Counter[str]:
        """Records that were not learned, by reason, added up over the horizons."""
        total = sum((core.skipped for core in self.cores), Counter[str]())
        return total + Counter({MALFORMED: self._malformed})

    @property
    def learned(self) -> Counter[int]:
        """Examples that were learned, by label, added up over the horizons."""
        return sum((core.learned for core in self.cores), Counter[int]())

    def stored(self) -> Stored:
        """An empty collector of what `restore` needs."""
        return Stored(core.checkpoint_key for core in self.cores)

    def restore(self, stored: Stored) -> None:
        """Let each go on from its checkpoint."""
        for core in self.cores:
            core.restore(stored.heads[core.checkpoint_key.encode()], stored.records)

    @property
    def read_back_from(self) -> int:
        """The offset from which on records must be given to `put_back`."""
        return min(core.read_back_from for core in self.cores)

    def put_back(self, records: Iterable[Any]) -> None:
        """See `TrainerCore.put_back`."""
        read = self._read(records)
        for core in self.cores:
            core.put_back(read)

    def all_put_back(self) -> None:
        """See `TrainerCore.all_put_back`."""
        for core in self.cores:
            core.all_put_back()

    def take(self, records: Sequence[Any], now: float) -> list[Outgoing]:
        """Let all take the records of a chunk. `now` in epoch seconds is when they were read.

        Returns the quarantine records of those that are malformed and were not read before.
        """
        known = self.offset
        read = self._read(records)
        for core in self.cores:
            core.take(read)
        bad = [one for one in read if one.reason and one.record.offset > known]
        self._malformed += len(bad)
        return [_quarantine(one, now) for one in bad]

    def skip_to(self, position: int) -> None:
        """All records up to an offset were taken, or are gone from the topic."""
        for core in self.cores:
            core.position = max(core.position, position)

    def publication(self) -> list[Outgoing]:
        """The records to send now, of those that have something new."""
        return [record for core in self.cores if core.unpublished for record in core.publication()]

    def _read(self, records: Iterable[Any]) -> list[Read]:
        return read_records(records, self._feature_version, len(self._features))


def _quarantine(read: Read, now: float) -> Outgoing:
    record = read.record
    value = quarantine_record(
        Rejection(read.reason, read.detail),
        topic=EXAMPLES, partition=record.partition, offset=record.offset, key=record.key, raw=record.value, at=now,
    )  # fmt: skip
    return Outgoing(record.key if record.key and len(record.key) <= _MAX_KEY_BYTES else None, value.to_json())
