"""Which version of the model served when, why that changed, and which versions can be gone back to."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from models.churn.record import ModelRecord

_DAY_S = 86_400.0
#: Moves that the history remembers.
MOVES = 100


class Move(msgspec.Struct, frozen=True):
    """What is served changed from `before` to `after`: names of models, or `pinned VERSION`.

    `at` is event time (epoch seconds), `offset` that of the record on topic `examples` which brought it about.
    """

    at: float
    offset: int
    examples: int
    before: str
    after: str
    why: str


class Kept(msgspec.Struct, frozen=True):
    """A version that can be served again. `at` (event time, epoch seconds) is when it was last served, or was kept."""

    version: str
    champion: str
    at: float
    offset: int
    examples: int
    why: Literal["move", "day"]


class Versions(msgspec.Struct, forbid_unknown_fields=True):
    """The kept versions, oldest first, and the moves. `moved` counts all moves ever; `pinned` is a kept version."""

    kept: list[Kept] = []
    moves: list[Move] = []
    moved: int = 0
    pinned: str = ""
    day: int = -1

    def find(self, version: str) -> Kept | None:
        """A kept version by its whole name."""
        return next((one for one in self.kept if one.version == version), None)

    def new_day(self, at: float) -> bool:
        """Whether the event time `at` is the first seen of its day (UTC); only the first call says so."""
        day = math.floor(at / _DAY_S) if math.isfinite(at) else self.day
        if day <= self.day:
            return False
        self.day = day
        return True

    def keep(self, record: ModelRecord, at: float, why: Literal["move", "day"], limit: int) -> list[str]:
        """Keep a version; returns the names of those that are kept no longer.

        Of more than `limit` the oldest goes: first of those kept for their day, as long as they are more than half;
        the pinned one never.
        """
        self.kept = [one for one in self.kept if one.version != record.version]
        self.kept.append(Kept(record.version, record.champion, at, record.offset, record.examples, why))
        dropped = []
        while len(self.kept) > limit:
            oldest = self._least(limit)
            self.kept.remove(oldest)
            dropped.append(oldest.version)
        return dropped

    def _least(self, limit: int) -> Kept:
        free = [one for one in self.kept if one.version != self.pinned]
        days = [one for one in free if one.why == "day"]
        moves = [one for one in free if one.why == "move"]
        return days[0] if days and (len(days) > limit // 2 or not moves) else moves[0]

    def note(self, move: Move) -> None:
        """Remember a move."""
        self.moves = [*self.moves[-MOVES + 1 :], move]
        self.moved += 1

    def before(self) -> Kept | None:
        """What a rollback goes back to; None if nothing older is kept."""
        if self.pinned:
            place = next((i for i, one in enumerate(self.kept) if one.version == self.pinned), 0)
            return self.kept[place - 1] if place else None
        moves = [one for one in self.kept if one.why == "move"]
        return moves[-1] if moves else next(iter(reversed(self.kept)), None)
