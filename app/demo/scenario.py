"""The two stories of the demo: a simulated shop whose truth is known, and a real year of a grocer."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
import numpy as np
import numpy.typing as npt

from app.errors import UsageError
from models.settings import LabelSettings, Settings
from models.simulator.events import simulate
from models.simulator.settings import InvalidSimulatorSettings, SimulatorSettings
from models.simulator.truth import SimulatedTruth
from streams.replay import AnyEvent
from streams.sources.completejourney import EVENTS, households_without_basket, read_completejourney

_DAY_S = 86_400
#: Weekly cut-offs of the real run; the horizon of the last one ends before the data does.
CUTOFFS = tuple(datetime(2017, month, day, tzinfo=UTC) for month, day in
                ((10, 4), (10, 11), (10, 18), (10, 25), (11, 1), (11, 8), (11, 15)))  # fmt: skip


class Scenario(ABC):
    """What is sent, how far it is, and what is known about the truth."""

    title: str

    @abstractmethod
    def settings(self, settings: Settings) -> Settings:
        """The settings with this story's churn definition."""

    @abstractmethod
    def events(self) -> Iterable[AnyEvent]:
        """The events in the order of arrival. Raises SourceError if they cannot be had."""

    @abstractmethod
    def share(self, count: int, event_time: float) -> float:
        """How much of the events is sent, 0 to 1."""

    def best(self, _customers: Sequence[str], _as_of: Sequence[float]) -> dict[str, npt.NDArray[np.float64]]:
        """By name, the best possible probabilities of leaving per pair, where the story knows them."""
        return {}

    def cutoffs(self) -> tuple[datetime, ...]:
        """Moments at which the newest emitted probabilities are judged against the truth."""
        return ()

    def left_after(self, _cutoff: datetime) -> dict[str, bool]:
        """Customer to whether they left within the horizon after a cut-off."""
        return {}


class Simulated(Scenario):
    """A subscription shop of which the simulator knows each customer's real probability of cancelling."""

    def __init__(self, args: argparse.Namespace) -> None:
        given = {name: getattr(args, name) for name in ("customers", "days", "seed") if getattr(args, name) is not None}
        self._simulator = SimulatorSettings(**given)
        try:
            self._simulator.check()
        except InvalidSimulatorSettings as error:
            raise UsageError(str(error)) from None
        self.title = f"a simulated shop: {self._simulator.customers:,} customers, {self._simulator.days} days"

    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, label=LabelSettings(kind="cancellation", horizon_days=30))

    def events(self) -> Iterable[AnyEvent]:
        return simulate(self._simulator)

    def share(self, _count: int, event_time: float) -> float:
        done = (event_time - self._simulator.start_time) / (self._simulator.days * _DAY_S)
        return min(1.0, max(0.0, done))

    def best(self, customers: Sequence[str], as_of: Sequence[float]) -> dict[str, npt.NDArray[np.float64]]:
        truth = SimulatedTruth(self._simulator)
        return {
            "best possible from events": truth.observable(customers, as_of, 30.0),
            "best possible knowing all": truth.probabilities(customers, as_of, 30.0),
        }


class CompleteJourney(Scenario):
    """All baskets, coupons and mailings of 2,469 households in 2017; leaving is no basket in 30 days.

    The cohort is every household that ever had a basket, as in the reference figures for this data.
    """

    title = "Complete Journey: 2,469 real households, all of 2017"

    def settings(self, settings: Settings) -> Settings:
        label = LabelSettings(kind="inactivity", horizon_days=30, active_within_days=366)
        score = msgspec.structs.replace(settings.score, min_change=0.01)
        return msgspec.structs.replace(settings, label=label, score=score)

    def events(self) -> Iterable[AnyEvent]:
        return read_completejourney()

    def share(self, count: int, _event_time: float) -> float:
        return count / EVENTS

    def cutoffs(self) -> tuple[datetime, ...]:
        return CUTOFFS

    def left_after(self, cutoff: datetime) -> dict[str, bool]:
        return households_without_basket(cutoff, 30.0)


def choose(args: argparse.Namespace) -> Scenario:
    """The story that the command line asks for. Raises UsageError for options that do not fit together."""
    if not args.real:
        return Simulated(args)
    wrong = [f"--{name}" for name in ("customers", "days", "seed") if getattr(args, name) is not None]
    if wrong:
        msg = f"{', '.join(wrong)}: for the simulator only; --real plays the whole data set"
        raise UsageError(msg)
    return CompleteJourney()
