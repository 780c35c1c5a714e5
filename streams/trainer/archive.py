"""Kept versions of one model with their records, and what is to be sent or deleted of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Literal

from models.churn.record import InvalidModel
from models.churn.serving import ServingModel
from models.churn.versions import Move, Versions
from streams.chunks import Outgoing
from streams.history import version_key

log = logging.getLogger(__name__)


class Archive:
    """`versions` says which are kept; their records are held in memory and on topic `model`."""

    def __init__(self, key: str, limit: int) -> None:
        self._key, self._limit = key, limit
        self.versions = Versions()
        self._records: dict[str, bytes] = {}
        self._unsent: list[str] = []
        self._erase: list[bytes] = []

    def restore(self, versions: Versions, records: Mapping[bytes, bytes]) -> None:
        """Go on from a checkpoint's versions; `records` are those on the topic, by key.

        Versions without a record are forgotten, records without a version are to be deleted.
        """
        self._records = {}
        for kept in list(versions.kept):
            raw = records.get(version_key(self._key, kept.version))
            if raw is None:
                log.error("kept version %s is gone from the topic", kept.version)
                versions.kept.remove(kept)
            else:
                self._records[kept.version] = raw
        if versions.pinned not in self._records:
            versions.pinned = ""
        self.versions, self._unsent = versions, []
        prefix = version_key(self._key, "")
        wanted = {version_key(self._key, version) for version in self._records}
        self.erase(key for key in records if key.startswith(prefix) and key not in wanted)

    def keep(self, model: ServingModel, at: float, why: Literal["move", "day"]) -> None:
        """Keep a version, and let go of those that are too many."""
        record = model.record
        dropped = self.versions.keep(record, at, why, self._limit)
        if model.version not in self._records:
            self._records[model.version] = model.to_record()
            self._unsent.append(model.version)
        # Learned again after an older checkpoint, a version comes back under its name, and must not be deleted.
        name = version_key(self._key, model.version)
        self._erase = [key for key in self._erase if key != name]
        for version in dropped:
            del self._records[version]
            if version in self._unsent:
                self._unsent.remove(version)
            else:
                self._erase.append(version_key(self._key, version))

    def erase(self, keys: Iterable[bytes]) -> None:
        """Delete records with the next publication."""
        self._erase.extend(keys)

    @property
    def clean(self) -> bool:
        """Whether nothing is to be sent or deleted."""
        return not (self._unsent or self._erase)

    def pinned(self) -> bytes | None:
        """The record to serve in place of the champion's; None if no version is pinned."""
        return self._records[self.versions.pinned] if self.versions.pinned else None

    def open(self, version: str) -> ServingModel:
        """A kept version.

        Raises
        ------
        ValueError
            When it is not kept, or cannot be used.
        """
        if version not in self._records:
            kept = ", ".join(one.version for one in self.versions.kept) or "none yet"
            raise ValueError(f"version '{version}' is not kept (allowed: {kept})")
        try:
            return ServingModel.from_record(self._records[version])
        except InvalidModel as error:
            raise ValueError(f"version '{version}' cannot be served: {error}") from error

    def note(self, move: Move) -> None:
        """Remember a move."""
        self.versions.note(move)
        log.info("the model moves from %s to %s: %s", move.before, move.after, move.why)

    def unsent(self) -> list[Outgoing]:
        """Records of versions that are to be sent, once."""
        records = [Outgoing(version_key(self._key, version), self._records[version]) for version in self._unsent]
        self._unsent = []
        return records

    def deletions(self) -> list[Outgoing]:
        """Tombstones that are to be sent, once; after the checkpoint that no longer names what they delete."""
        keys, self._erase = dict.fromkeys(self._erase), []
        return [Outgoing(key, None) for key in keys]
