"""How likely customers are to cancel, over many futures drawn from the dynamics."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.simulator import dynamics
from models.simulator.conditions import Conditions
from models.simulator.dynamics import Bools, People
from models.simulator.luck import Boost, EvenLuck, Floats, Ints, Luck

#: The conditions so many days after the start.
Ahead = Callable[[int], Conditions]

#: Futures per state. The error of a probability is then 0.003 to 0.03, about a fifth of the probability where it is
#: small, against a spread of 0.16 between customers.
PATHS = 64
#: Columns that move together: large enough for numpy, small enough for the processor's cache.
BLOCK = 16_384 // PATHS
#: Complaints that stay unresolved and slides that begin are drawn this many times too often, and weighed accordingly.
_BOOSTS = (Boost(*dynamics.UNRESOLVED_SHARE, 4.0), Boost(0.0, dynamics.SLIDE_START, 5.0))


class States(NamedTuple):
    """Hidden states, one column each: whose, since which second of its day, and whether the day's bill is settled."""

    who: Ints
    second: Ints
    state: Floats
    tenure: Ints
    billed: Bools

    def take(self, rows: Ints) -> States:
        return States(self.who[rows], self.second[rows], self.state[:, rows], self.tenure[rows], self.billed[rows])


def leaving(
    states: States, people: People, horizon_days: float, ahead: Ahead, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """The probability of cancelling within the horizon, for each state. `people` are all customers of the world."""
    parts = [np.zeros(0)]
    for begin in range(0, states.who.size, BLOCK):
        columns = np.arange(begin, min(begin + BLOCK, states.who.size))
        start = states.take(np.repeat(columns, PATHS))
        parts.append(leaving_from(start, people.take(start.who), horizon_days, ahead, rng))
    return np.concatenate(parts)


def leaving_from(
    start: States, people: People, horizon_days: float, ahead: Ahead, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """As `leaving`, but every customer starts in `PATHS` states, side by side; `people` are those of the columns."""
    customers = start.who.size // PATHS
    luck = EvenLuck(customers, PATHS, ceil(horizon_days), _BOOSTS, rng)
    stays = _staying(start, people, horizon_days, ahead, luck)
    weights = np.exp(luck.log_weight, dtype=np.float64).reshape(customers, PATHS)
    return np.asarray(1.0 - (stays.reshape(weights.shape) * weights).sum(axis=1) / weights.sum(axis=1))


def _staying(start: States, people: People, horizon_days: float, ahead: Ahead, luck: Luck) -> Floats:
    """The probability of still being there after the horizon, along one random path per column."""
    state, tenure = start.state, start.tenure
    stays = np.ones(tenure.size, np.float32)
    due = np.where(start.billed, 0, tenure)
    for passed in range(ceil(horizon_days)):
        conditions = ahead(passed)
        dynamics.bill(state, people, due, conditions, luck)
        before = dynamics.hazard(state, people, tenure, conditions)
        contacts = dynamics.contact(state, before, conditions, luck)
        today = dynamics.reconsider(before, contacts, state, people, tenure, conditions)
        stays *= (1.0 - today) ** np.float32(min(1.0, horizon_days - passed))
        dynamics.settle(state, luck)
        tenure = due = tenure + 1
    return stays
