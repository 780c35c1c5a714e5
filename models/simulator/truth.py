"""What no learner can beat: each customer's own probability of cancelling, from the hidden state."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from math import ceil
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from models.simulator import dynamics
from models.simulator.dynamics import People
from models.simulator.luck import Boost, EvenLuck, Floats, Ints, Luck
from models.simulator.settings import Causes, SimulatorSettings
from models.simulator.world import Day, Moment, World

_DAY_S = 86_400
_FORMAT = 1
#: Paths per state. The standard error of a probability is then about 0.01, against a spread of 0.13 between customers.
PATHS = 64
#: States that move together: large enough for numpy, small enough for the processor's cache.
_BLOCK = 16_384
#: Complaints that stay unresolved and slides that begin are drawn this many times too often, and weighed accordingly.
_BOOSTS = (Boost(*dynamics.UNRESOLVED_SHARE, 4.0), Boost(0.0, dynamics.SLIDE_START, 5.0))
_NOT_BEFORE = float("-inf")

Doubles = npt.NDArray[np.float64]


class UnknownCustomer(KeyError):  # noqa: N818 - reads as the fact that it states
    """The truth was asked about a customer who is not part of the simulation."""


class InvalidTruth(ValueError):  # noqa: N818 - reads as the fact that it states
    """A stored truth cannot be used: wrong format, or this program simulates another world from its settings."""


class TruthRow(NamedTuple):
    """The truth about one customer at one time. Times are epoch seconds; `left_at` is the next cancellation."""

    customer_id: str
    as_of: float
    horizon_days: float
    probability: float
    left_at: float | None


class SimulatedTruth:
    """The simulator's own knowledge of who cancels.

    The probability at a time is the mean over many possible futures of `1 - prod(1 - hazard)`, each future drawn by the
    same dynamics that made the events and started from the hidden state as it was then. The draws that were really
    made later are not used, so this is the honest optimum: with the default settings its AUC for cancelling
    within 30 days is 0.84, where about 11 of 100 cancel. It knows the state of the last midnight and
    what billing and conversations changed since; the visits of the running day count from the next midnight.

    Example
    -------
    >>> truth = SimulatedTruth(SimulatorSettings(customers=20, days=40))
    >>> 0.0 < truth.probability("customer-00003", truth.start_time + 30 * 86_400, 30) < 1.0
    True
    """

    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self.start_time = settings.start_time
        self._world = World(settings)
        self._index = {customer_id: number for number, customer_id in enumerate(self._world.customer_ids)}
        self._joined: list[list[float]] = [[] for _ in self._index]
        self._left: list[list[float]] = [[] for _ in self._index]
        for number in np.flatnonzero(self._world.started < 0).tolist():
            self._joined[number].append(_NOT_BEFORE)
        self._mornings: list[_Morning] = []
        for day in self._world.days():
            self._remember(day)
        self._day_table = lru_cache(maxsize=512)(self._compute_day)

    def _remember(self, day: Day) -> None:
        for moment in (day.joined, day.returned):
            self._note(moment, day.number, self._joined)
        self._note(day.left, day.number, self._left)
        who = np.flatnonzero(day.subscribed)
        later = [part.who for part in day.snapshots]
        states = [day.state[:, who], *(part.state for part in day.snapshots)]
        since = [np.zeros(who.size, np.int64), *(part.second for part in day.snapshots)]
        everyone = np.concatenate([who, *later])
        morning = _Morning(
            who=everyone,
            since=np.concatenate(since),
            state=np.concatenate(states, axis=1),
            tenure=day.number - self._world.started[everyone],
            billed=np.arange(everyone.size) >= who.size,
        )
        self._mornings.append(morning)

    def _note(self, moment: Moment, number: int, times: list[list[float]]) -> None:
        for who, second in zip(moment.who.tolist(), moment.second.tolist(), strict=True):
            times[who].append(float(self.start_time + number * _DAY_S + second))

    @property
    def customer_ids(self) -> tuple[str, ...]:
        """All customers, including those who never joined within the days."""
        return tuple(self._index)

    def departures(self, customer_id: str) -> tuple[float, ...]:
        """All times at which the customer cancelled, in epoch seconds. Raises `UnknownCustomer`."""
        return tuple(self._left[self._number(customer_id)])

    def left_at(self, customer_id: str, after: float = _NOT_BEFORE) -> float | None:
        """The first cancellation later than `after` (epoch seconds), or None. Raises `UnknownCustomer`."""
        times = self._left[self._number(customer_id)]
        position = bisect_right(times, after)
        return times[position] if position < len(times) else None

    def subscribed(self, customer_id: str, as_of: float) -> bool:
        """Whether the customer has joined and not cancelled, as of a time. Raises `UnknownCustomer`."""
        number = self._number(customer_id)
        return bisect_right(self._joined[number], as_of) > bisect_right(self._left[number], as_of)

    def probability(self, customer_id: str, as_of: float, horizon_days: float = 30.0) -> float:
        """The probability at `as_of` (epoch seconds) of cancelling within the next `horizon_days`.

        NaN if the customer is not subscribed then, or the time lies outside the simulated days.
        Raises `UnknownCustomer`.
        """
        number, offset = self._number(customer_id), as_of - self.start_time
        day, second = int(offset // _DAY_S), offset % _DAY_S
        if not 0 <= day < self.settings.days or not self.subscribed(customer_id, as_of):
            return float("nan")
        known = self._day_table(day, horizon_days)[number]
        return known[bisect_right(known, (second, 1.0)) - 1][1]

    def probabilities(self, customer_ids: Sequence[str], as_of: Sequence[float], horizon_days: float = 30.0) -> Doubles:
        """`probability` for many pairs of a customer and a time."""
        pairs = zip(customer_ids, as_of, strict=True)
        return np.array([self.probability(customer_id, when, horizon_days) for customer_id, when in pairs], np.float64)

    def rows(self, as_of: Iterable[float], horizon_days: float = 30.0) -> Iterator[TruthRow]:
        """The truth about every customer subscribed at each of the times."""
        for when in as_of:
            for customer_id in self._index:
                probability = self.probability(customer_id, when, horizon_days)
                if probability == probability:
                    left_at = self.left_at(customer_id, when)
                    yield TruthRow(customer_id, when, horizon_days, probability, left_at)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a small JSON file: the settings, and who cancelled when, as a check on reading."""
        left = {customer_id: times for customer_id, times in zip(self._index, self._left, strict=True) if times}
        return {"format": _FORMAT, "settings": msgspec.to_builtins(self.settings), "cancelled": left}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> SimulatedTruth:
        """Live the stored settings' world again and check that the same customers cancel at the same times.

        Raises
        ------
        InvalidTruth
            The data is not of this format, or the world differs (another numpy or another version of the simulator).
        """
        if plain.get("format") != _FORMAT:
            raise InvalidTruth(f"cannot read the truth: format is {plain.get('format')!r}, allowed: {_FORMAT}")
        try:
            truth = cls(msgspec.convert(plain.get("settings"), SimulatorSettings))
        except (msgspec.ValidationError, ValueError) as error:
            raise InvalidTruth(f"cannot read the truth: its settings are not valid: {error}") from error
        if truth.to_dict()["cancelled"] != plain.get("cancelled"):
            raise InvalidTruth(
                "cannot use the truth: the same settings give other cancellations here; "
                "use the numpy and the version of this program that simulated the events"
            )
        return truth

    def _number(self, customer_id: str) -> int:
        try:
            return self._index[customer_id]
        except KeyError:
            raise UnknownCustomer(
                f"no customer {customer_id!r} in the simulation, allowed: {len(self._index)} ids like 'customer-00001'"
            ) from None

    def _compute_day(self, number: int, horizon_days: float) -> dict[int, list[tuple[float, float]]]:
        """For each customer of a day: from which second on which probability holds."""
        morning = self._mornings[number]
        seeds = np.random.SeedSequence([self.settings.seed, 2, number])
        rng = np.random.Generator(np.random.SFC64(seeds))
        leaving = _leaving(morning, self._world.people, horizon_days, self.settings, rng)
        table: dict[int, list[tuple[float, float]]] = {}
        rows = sorted(zip(morning.who.tolist(), morning.since.tolist(), leaving.tolist(), strict=True))
        for who, since, probability in rows:
            table.setdefault(who, []).append((float(since), probability))
        return table


class _Morning(NamedTuple):
    """What was known on one day: a state per customer, and one more after each billing and conversation."""

    who: Ints
    since: Ints
    state: Floats
    tenure: Ints
    billed: npt.NDArray[np.bool_]

    def repeat(self, block: slice) -> _Morning:
        """These rows, each as often as there are paths, the paths of one row side by side."""
        return _Morning(
            np.repeat(self.who[block], PATHS),
            np.repeat(self.since[block], PATHS),
            np.repeat(self.state[:, block], PATHS, axis=1),
            np.repeat(self.tenure[block], PATHS),
            np.repeat(self.billed[block], PATHS),
        )


def _leaving(
    morning: _Morning, people: People, horizon_days: float, settings: SimulatorSettings, rng: np.random.Generator
) -> Doubles:
    parts = []
    for begin in range(0, morning.who.size, _BLOCK // PATHS):
        block = slice(begin, begin + _BLOCK // PATHS)
        customers = morning.who[block].size
        luck = EvenLuck(customers, PATHS, ceil(horizon_days), _BOOSTS, rng)
        everyone = people.take(np.repeat(morning.who[block], PATHS))
        stays = _staying(morning.repeat(block), everyone, horizon_days, settings.causes, luck)
        weights = np.exp(luck.log_weight, dtype=np.float64).reshape(customers, PATHS)
        parts.append(1.0 - (stays.reshape(weights.shape) * weights).sum(axis=1) / weights.sum(axis=1))
    return np.concatenate(parts) if parts else np.zeros(0)


def _staying(start: _Morning, people: People, horizon_days: float, causes: Causes, luck: Luck) -> Floats:
    """The probability of still being there after the horizon, along one random path per column."""
    state, tenure = start.state, start.tenure
    stays = np.ones(tenure.size, np.float32)
    due = np.where(start.billed, 0, tenure)
    for passed in range(ceil(horizon_days)):
        dynamics.bill(state, people, due, luck)
        dynamics.contact(state, dynamics.hazard(state, people, tenure, causes), luck)
        today = dynamics.hazard(state, people, tenure, causes)
        stays *= (1.0 - today) ** np.float32(min(1.0, horizon_days - passed))
        dynamics.settle(state, luck)
        tenure = due = tenure + 1
    return stays
