"""The one world that happens: who joins, pays, complains, leaves and returns, day by day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.simulator import dynamics
from models.simulator.conditions import Calendar
from models.simulator.dynamics import Bools, Contacts, People
from models.simulator.luck import Floats, Ints, PlainLuck
from models.simulator.settings import SimulatorSettings

#: Seconds of the day within which things happen. The order makes sure that causes come before the decision to leave.
JOINING = (600, 7 * 3600)
BILLING = (2 * 3600, 6 * 3600)
CONTACTING = (8 * 3600, 17 * 3600)
LEAVING = (18 * 3600, 86_000)

PRICES = (9.99, 14.99, 24.99)
_RETURN_PER_DAY = 0.003
_MAX_TENURE_AT_START = 360
_PAST_DAYS = 90
#: Logs of usual visits a day: mean and spread. And between what risks of a failed payment customers lie.
USUAL_VISITS, VISITS_SPREAD = np.log(1.4), 0.3
RISK_LIMITS = (0.01, 0.6)


@dataclass(frozen=True, slots=True)
class Moment:
    """Customers (indices into the world) to whom something happened, and when (seconds of the day)."""

    who: Ints
    second: Ints


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The hidden states of some customers right after they were billed, or had a conversation."""

    who: Ints
    second: Ints
    state: Floats


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the world. `state` is of the morning, before anything happened; shape (drivers, customers)."""

    number: int
    state: Floats
    subscribed: Bools
    joined: Moment
    returned: Moment
    paid: Moment
    failed: Moment
    contacted: Moment
    contacts: Contacts
    left: Moment
    snapshots: tuple[Snapshot, ...]


class World:
    """The customers of one simulated shop.

    `customer_ids`, `plan`, `people` and `visit_rate` (log of usual visits a day) are fixed; `started` is the day on
    which the present or last subscription began (negative: before the first day).
    """

    def __init__(self, settings: SimulatorSettings) -> None:
        settings.check()
        self.settings = settings
        count, causes = settings.customers, settings.causes
        rng = self._rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([settings.seed, 0])))
        width = max(5, len(str(count)))
        self.customer_ids = [f"customer-{number:0{width}d}" for number in range(1, count + 1)]
        self.plan = rng.choice(3, size=count, p=(0.4, 0.4, 0.2))
        above = (np.array(PRICES)[self.plan] - PRICES[1]) / 10.0
        constant = causes.intercept + causes.price * above + causes.unseen * rng.standard_normal(count)
        risk = risks(count, rng)
        self.people = People(constant.astype(np.float32), risk.astype(np.float32), above.astype(np.float32))
        self.calendar = Calendar(settings)
        self.visit_rate = (USUAL_VISITS + VISITS_SPREAD * rng.standard_normal(count)).astype(np.float32)
        self.started = self._starts(rng)

    def _starts(self, rng: np.random.Generator) -> Ints:
        count = self.settings.customers
        initial = round(count * self.settings.initial_share)
        before = -rng.integers(1, _MAX_TENURE_AT_START, size=initial)
        later = rng.integers(0, self.settings.days, size=count - initial)
        started: Ints = rng.permutation(np.concatenate([before, later]))
        return started

    def days(self) -> Iterator[Day]:
        """Live the days in order. Can be run once; the same settings give the same days."""
        count, rng = self.settings.customers, self._rng
        subscribed = self.started < 0
        gone = np.zeros(count, bool)
        state = np.zeros((dynamics.DRIVERS, count), np.float32)
        self._settle_in(state, np.flatnonzero(subscribed))
        for number in range(self.settings.days):
            joined = np.flatnonzero(self.started == number)
            back = np.flatnonzero(gone & (rng.random(count, dtype=np.float32) < _RETURN_PER_DAY))
            self.started[back] = number
            self._enter(state, np.concatenate([joined, back]))
            subscribed[joined] = subscribed[back] = True
            gone[back] = False
            day = self._live(number, state, subscribed, joined, back)
            subscribed[day.left.who] = False
            gone[day.left.who] = True
            yield day

    def _enter(self, state: Floats, who: Ints) -> None:
        state[:, who] = dynamics.fresh(who.size, self._rng)

    def _settle_in(self, state: Floats, who: Ints) -> None:
        """Give those who are there at the start a past, so that the first month is like any other."""
        here = dynamics.fresh(who.size, self._rng)
        self.settle_in(here, self.people.take(who), self.started[who], _PAST_DAYS, self._rng)
        state[:, who] = here

    def settle_in(self, here: Floats, people: People, started: Ints, days: int, rng: np.random.Generator) -> None:
        """Let customers live some days before the first one, in place; for who leaves, another one comes."""
        usual, luck = self.calendar.usual, PlainLuck(rng)
        for number in range(-days, 0):
            tenure = np.maximum(number - started, 0)
            dynamics.bill(here, people, tenure, usual, luck)
            before = dynamics.hazard(here, people, tenure, usual)
            contacts = dynamics.contact(here, before, usual, luck)
            today = dynamics.reconsider(before, contacts, here, people, tenure, usual)
            replaced = np.flatnonzero(rng.random(today.size, dtype=np.float32) < today)
            here[:, replaced] = dynamics.fresh(replaced.size, rng)
            dynamics.settle(here, luck)

    def _live(self, number: int, state: Floats, subscribed: Bools, joined: Ints, back: Ints) -> Day:
        rng, luck, conditions = self._rng, PlainLuck(self._rng), self.calendar.on(number)
        morning, who = state.copy(), np.flatnonzero(subscribed)
        here, people, tenure = state[:, who], self.people.take(who), number - self.started[who]

        paid, failed = dynamics.bill(here, people, tenure, conditions, luck)
        billed, billed_at = np.concatenate([paid, failed]), _within(BILLING, paid.size + failed.size, rng)
        after_bill = Snapshot(who[billed], billed_at, here[:, billed])

        before = dynamics.hazard(here, people, tenure, conditions)
        contacts = dynamics.contact(here, before, conditions, luck)
        contacted_at = _within(CONTACTING, contacts.who.size, rng)
        after_contact = Snapshot(who[contacts.who], contacted_at, here[:, contacts.who])

        today = dynamics.reconsider(before, contacts, here, people, tenure, conditions)
        left = np.flatnonzero(rng.random(who.size, dtype=np.float32) < today)
        dynamics.settle(here, luck)
        state[:, who] = here
        return Day(
            number=number,
            state=morning,
            subscribed=subscribed.copy(),
            joined=Moment(joined, _within(JOINING, joined.size, rng)),
            returned=Moment(back, _within(JOINING, back.size, rng)),
            paid=Moment(who[paid], billed_at[: paid.size]),
            failed=Moment(who[failed], billed_at[paid.size :]),
            contacted=Moment(who[contacts.who], contacted_at),
            contacts=contacts,
            left=Moment(who[left], _within(LEAVING, left.size, rng)),
            snapshots=(after_bill, after_contact),
        )


def risks(count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """The probabilities of a failed payment of some customers."""
    return np.clip(rng.gamma(0.6, 0.14, size=count), *RISK_LIMITS)


def _within(window: tuple[int, int], count: int, rng: np.random.Generator) -> Ints:
    return rng.integers(*window, size=count)
