"""Watches what is served: are the customers, or the probabilities, not what they were?

Once a day the last `window_days` are compared with the `reference_days` before them, feature by feature and for the
probability too. A window of whole weeks leaves the rhythm of the week out. The reference moves along, so the two are
always equally far apart, and how far stationary data wander in between can be learned (`models.drift.budget`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from models.drift.budget import limit
from models.drift.psi import Shift, psi, shifts
from models.drift.sketch import Array, Floats, InvalidSketch, Sketch, SketchState, learn_edges
from models.settings import DriftSettings

#: The name under which the probabilities are watched, last of all.
PROBABILITY = "probability"
_BLOCK_DAYS = 7
_MOST_BLOCKS = 52
#: An alarm ends after so many days below the limit, so that what hovers there is one alarm and not many.
_QUIET_DAYS = 7
_SAMPLE = 20_000
_FORMAT = 1
#: Movements are compared with what is usual for the feature, but never with less than this.
_LEAST_USUAL = 1e-3


class DriftAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """One feature that moved further than the budget allows. Days count from 1970, UTC.

    `since` is the day from which on it looks different. `limit` is the index up to which nothing would have been said.
    """

    feature: str
    day: int
    since: int
    limit: float
    shift: Shift

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        shift = self.shift
        if abs(shift.null_rate - shift.null_rate_before) >= 0.05:
            what = f"is unknown for {shift.null_rate:.0%} of customers, before for {shift.null_rate_before:.0%}"
        elif shift.mean is not None and shift.mean_before is not None:
            what = f"is {shift.mean:.3g} on average, before {shift.mean_before:.3g}"
        else:
            what = "is distributed otherwise"
        return f"{self.feature} {what} (index {shift.psi:.2f}, allowed {self.limit:.2f})"


class MonitorState(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A monitor's checkpoint: everything it knows, as plain data.

    `days` holds the sketch of each day that is still compared; `edges` are null where infinite, as JSON knows no
    infinity. `blocks` has, per finished week, the largest index of each feature; `block` the same of the week under
    way. `moved` are the features of the alarm that goes on, last above the limit on `moved_day`.
    """

    format: int = _FORMAT
    features: list[str]
    first_day: int = -1
    edges: list[list[float | None]] = []
    days: dict[int, SketchState] = {}
    block_start: int = -1
    block: list[float] = []
    block_counts: bool = True
    blocks: list[list[float]] = []
    moved: list[str] = []
    moved_day: int = -1
    last_day: int = -1


class DriftMonitor:
    """Fed once a day, in order of days; days without anything served may be left out."""

    def __init__(self, settings: DriftSettings, features: Sequence[str]) -> None:
        self._settings = settings
        self._state = MonitorState(features=[*features, PROBABILITY])
        self._edges: npt.NDArray[np.float32] | None = None
        self._days: dict[int, Sketch] = {}
        #: What the last call of `observe` compared, feature by feature, and how far each could have moved without an
        #: alarm; empty where there was nothing to compare with.
        self.shifts: list[Shift] = []
        self.allowed: list[float] = []

    @property
    def moved(self) -> tuple[str, ...]:
        """Features of the alarm that goes on; none when all is quiet."""
        return tuple(self._state.moved)

    @property
    def ready(self) -> bool:
        """Whether enough of the past is known for an alarm to be possible."""
        return limit(np.ones(len(self._state.blocks)), self._settings.alarms_per_month, _BLOCK_DAYS) < np.inf

    def observe(self, day: int, matrix: Array, probabilities: Array) -> list[DriftAlarm]:
        """Add what was served on a day (rows x features with NaN, and a probability per row).

        The answer has the features that moved too far and were not in alarm the day before; all of them together are
        one alarm of the budget. In the first `settle_days` nothing is kept: the windows of features are still filling.

        Raises
        ------
        ValueError
            When the day is not after the last one, or the matrix has other features.
        """
        state = self._state
        if day <= state.last_day or matrix.shape != (len(probabilities), len(state.features) - 1):
            raise ValueError(
                f"served matrix of shape {matrix.shape} with {len(probabilities)} probabilities on day {day} "
                f"(allowed: {len(state.features) - 1} features, a day after {state.last_day})"
            )
        self.shifts, self.allowed = [], []
        if not len(matrix):
            return []
        state.last_day = day
        state.first_day = day if state.first_day < 0 else state.first_day
        if day < state.first_day + self._settings.settle_days:
            return []
        served = np.column_stack([matrix, probabilities]).astype(np.float32)
        if self._edges is None:
            self._edges = learn_edges(served[:: max(1, len(served) // _SAMPLE)])
        self._days[day] = Sketch(self._edges)
        self._days[day].update(served)
        return self._compare(day)

    def checkpoint(self) -> dict[str, Any]:
        """All that was learned as plain data, ready for JSON."""
        self._state.days = {day: sketch.to_plain() for day, sketch in self._days.items()}
        self._state.edges = [] if self._edges is None else _without_infinity(self._edges)
        plain: dict[str, Any] = msgspec.to_builtins(self._state, str_keys=True)
        return plain

    @classmethod
    def restore(cls, plain: dict[str, Any], settings: DriftSettings, features: Sequence[str]) -> DriftMonitor:
        """A monitor that goes on where `checkpoint` was taken. Raises InvalidSketch."""
        monitor = cls(settings, features)
        try:
            state = msgspec.convert(plain, MonitorState, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidSketch(f"drift checkpoint cannot be used: {error}") from error
        if (state.format, state.features) != (_FORMAT, monitor._state.features):
            raise InvalidSketch(
                f"drift checkpoint of {len(state.features)} features cannot be used for {len(features)}"
            )
        if state.edges:
            monitor._edges = np.array([[np.inf if e is None else e for e in row] for row in state.edges], np.float32)
            monitor._days = {day: Sketch.from_plain(one, monitor._edges) for day, one in state.days.items()}
        monitor._state = state
        return monitor

    def _compare(self, day: int) -> list[DriftAlarm]:
        state, settings = self._state, self._settings
        split = day - settings.window_days + 1
        first = split - settings.reference_days
        self._days = {d: sketch for d, sketch in self._days.items() if d >= first}
        if state.first_day + settings.settle_days > first:
            return []
        before, after = self._pooled(first, split), self._pooled(split, day + 1)
        if not before.rows or not after.rows:
            return []
        now = psi(before.histogram, after.histogram)
        self._turn_block(day)
        state.block = np.maximum(np.array(state.block), now).tolist()
        usual = _usual(state.blocks, state.block)
        past = [float((np.array(block) / usual).max()) for block in state.blocks]
        allowed = np.maximum(limit(np.array(past), settings.alarms_per_month, _BLOCK_DAYS) * usual, settings.least_psi)
        self.shifts, self.allowed = shifts(before, after), allowed.tolist()
        moved = [i for i in np.argsort(-now / usual, kind="stable").tolist() if now[i] > allowed[i]]
        new = [i for i in moved if state.features[i] not in state.moved]
        if moved:
            state.moved, state.moved_day = [*state.moved, *(state.features[i] for i in new)], day
        elif day > state.moved_day + _QUIET_DAYS:
            state.moved = []
        return [self._alarm(i, day, self.allowed[i], self.shifts[i]) for i in new]

    def _turn_block(self, day: int) -> None:
        """Begin a new week where one is over. Weeks that begin within an alarm say nothing about quiet times."""
        state = self._state
        if state.block_start < 0 or day >= state.block_start + _BLOCK_DAYS:
            if state.block_start >= 0 and state.block_counts:
                state.blocks = [*state.blocks, state.block][-_MOST_BLOCKS:]
            state.block_start, state.block = day, [0.0] * len(state.features)
            state.block_counts = not state.moved

    def _pooled(self, start: int, end: int) -> Sketch:
        assert self._edges is not None  # noqa: S101 - a day was sketched with them
        pooled = Sketch(self._edges)
        for day, sketch in self._days.items():
            if start <= day < end:
                pooled.merge(sketch)
        return pooled

    def _alarm(self, feature: int, day: int, allowed: float, shift: Shift) -> DriftAlarm:
        name = self._state.features[feature]
        return DriftAlarm(feature=name, day=day, since=self._since(feature), limit=allowed, shift=shift)

    def _since(self, feature: int) -> int:
        """The day that parts the kept days best: the largest index, weighed by how many days are on either side."""
        days = sorted(self._days)
        counts = np.array([self._days[day].histogram[:, feature] for day in days])
        splits = range(1, len(days))
        parted = [
            psi(counts[:i].sum(axis=0)[:, None], counts[i:].sum(axis=0)[:, None])[0] * i * (len(days) - i)
            for i in splits
        ]
        return days[1 + int(np.argmax(parted))]


def _without_infinity(edges: npt.NDArray[np.float32]) -> list[list[float | None]]:
    return [[edge if np.isfinite(edge) else None for edge in row] for row in edges.tolist()]


def _usual(blocks: list[list[float]], block: list[float]) -> Floats:
    """The median index of each feature over all weeks, the one under way among them, so that none is special."""
    return np.asarray(np.maximum(np.median(np.array([*blocks, block]), axis=0), _LEAST_USUAL), dtype=np.float64)
