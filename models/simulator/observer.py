"""What the events of the simulated shop can show at best of its customers' hidden states.

Nobody sees how often a customer means to visit or what mood they are in: visits are chance, and most customers are
silent. Here someone watches who knows the whole law (`dynamics`) and every event, and tells the probability of leaving
that follows. Between this and the truth lies what no learner can know.

It is a particle filter (Gordon, Salmond and Smith, 1993, IEE Proceedings F 140(2)), one per customer. Each day every
particle lives on by the same `dynamics`, and is weighed by how well it explains what was told: bills, conversations
and their tone, the number of visits, staying. What was told happens to all particles alike. Where few particles carry
the weight they are drawn anew; what never changes of a customer (usual visits, risk of failed payments, personal
constant) is then smoothed without changing its mean and spread (Liu and West, 2001, in Sequential Monte Carlo Methods
in Practice, chapter 10).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import erfc, sqrt
from typing import Final, NamedTuple

import numpy as np

from models.simulator import dynamics
from models.simulator.attendance import Attendance, exposure, midnight, weekday
from models.simulator.conditions import UNVOICED, Conditions
from models.simulator.dynamics import Contacts, People
from models.simulator.futures import BLOCK, PATHS, States, leaving_from
from models.simulator.luck import Floats, Ints, PlainLuck
from models.simulator.settings import SimulatorSettings
from models.simulator.world import RISK_LIMITS, USUAL_VISITS, VISITS_SPREAD, Day, World, risks

#: Particles per customer.
PARTICLES: Final = 128
#: Share of the old value that is kept when what never changes is drawn anew; the rest is the mean over particles.
_KEPT: Final = 0.97
_PAST_DAYS: Final = 90
_VISIT_RATE, _RISK, _CONSTANT = range(3)

_normal_tail = np.vectorize(lambda z: 0.5 * erfc(z / sqrt(2.0)), otypes=[np.float64])


class Asked(NamedTuple):
    """Who is asked about on a day, at which place of the answer, and after how much of the day: 0 for its morning,
    1 once the customer was billed, 2 once a conversation took place.
    """

    place: Ints
    who: Ints
    stage: Ints


@dataclass(slots=True)
class _Cloud:
    """The particles of all customers: `state` (drivers, customers, particles); `fixed` and `log_weight` alike."""

    state: Floats
    fixed: Floats
    log_weight: Floats

    def take(self, who: Ints, above: Floats) -> tuple[Floats, People]:
        """The states of some customers, one column per particle, and the people that they are then."""
        state, fixed = self.state[:, who].reshape(dynamics.DRIVERS, -1), self.fixed[:, who].reshape(3, -1)
        return state, People(fixed[_CONSTANT], np.exp(fixed[_RISK]), np.repeat(above[who], PARTICLES))


class Observer:
    """Lives the world of `settings` again and watches it."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._world, self._settings = World(settings), settings
        self._rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([settings.seed, 3])))
        self._luck = PlainLuck(self._rng)
        self._attendance = Attendance(self._world)
        self._above = self._world.people.above
        self._cloud = self._begin()

    def answers(self, asked: Mapping[int, Asked], horizon_days: float) -> Iterator[tuple[Ints, Floats]]:
        """For each day with questions, in their order: places, and the probabilities of leaving within the horizon."""
        last = max(asked, default=-1)
        for day in self._world.days():
            if day.number > last:
                return
            questions = asked.get(day.number)
            for stage in self._live(day):
                if questions is not None:
                    now = questions.stage == stage
                    yield questions.place[now], self._leaving(day, questions.who[now], stage > 0, horizon_days)

    def _begin(self) -> _Cloud:
        """What is thought of customers before the first event: those who are there have a past like any other."""
        world, rng = self._world, self._rng
        count = self._settings.customers
        shape = (count, PARTICLES)
        unseen = self._settings.causes.unseen * rng.standard_normal(shape, dtype=np.float32)
        usual = self._settings.causes.intercept + self._settings.causes.price * self._above[:, None]
        fixed = np.stack([
            USUAL_VISITS + VISITS_SPREAD * rng.standard_normal(shape, dtype=np.float32),
            np.log(risks(count * PARTICLES, rng)).reshape(shape),
            usual + unseen,
        ]).astype(np.float32)  # fmt: skip
        state = dynamics.fresh(count * PARTICLES, rng).reshape(dynamics.DRIVERS, *shape)
        cloud = _Cloud(state, fixed, np.zeros(shape, np.float32))
        there = np.flatnonzero(world.started < 0)
        here, people = cloud.take(there, self._above)
        world.settle_in(here, people, np.repeat(world.started[there], PARTICLES), _PAST_DAYS, rng)
        state[:, there] = here.reshape(dynamics.DRIVERS, there.size, PARTICLES)
        return cloud

    def _live(self, day: Day) -> Iterator[int]:
        """One day. Yields 0, 1 and 2 when the morning's, the bills' and the conversations' news are known."""
        cloud, conditions = self._cloud, self._world.calendar.on(day.number)
        new = np.concatenate([day.joined.who, day.returned.who])
        fresh = dynamics.fresh(new.size * PARTICLES, self._rng)
        cloud.state[:, new] = fresh.reshape(dynamics.DRIVERS, new.size, PARTICLES)
        cloud.log_weight[new] = 0.0
        yield 0
        self._hear_bills(day, conditions)
        yield 1
        there = np.flatnonzero(day.subscribed)
        state, people = cloud.take(there, self._above)
        tenure = np.repeat(day.number - self._world.started[there], PARTICLES)
        self._hear_conversations(day, there, dynamics.hazard(state, people, tenure, conditions))
        yield 2
        stay = there[~np.isin(there, day.left.who)]
        state, people = cloud.take(stay, self._above)
        tenure = np.repeat(day.number - self._world.started[stay], PARTICLES)
        today = dynamics.hazard(state, people, tenure, conditions)
        cloud.log_weight[stay] += np.log1p(-today).reshape(stay.size, PARTICLES) + self._visits(day, stay)
        self._sharpen(stay)
        state, _ = cloud.take(stay, self._above)
        dynamics.settle(state, self._luck)
        cloud.state[:, stay] = state.reshape(dynamics.DRIVERS, stay.size, PARTICLES)

    def _hear_bills(self, day: Day, conditions: Conditions) -> None:
        cloud = self._cloud
        for moment, failed in ((day.paid, False), (day.failed, True)):
            refusal = conditions.refusal(np.exp(cloud.fixed[_RISK, moment.who]))
            cloud.log_weight[moment.who] += np.log(refusal if failed else 1.0 - refusal)
        cloud.state[dynamics.FAILED, day.failed.who] += 1.0

    def _hear_conversations(self, day: Day, there: Ints, today: Floats) -> None:
        """Who talked, about what and how; `today` is the hazard of all particles of those who are there."""
        cloud, contacts, who = self._cloud, day.contacts, day.contacted.who
        wishes = dynamics.wishing(today).reshape(there.size, PARTICLES)
        wished = np.isin(there, who[contacts.topic == dynamics.ASKED_TO_LEAVE])
        cloud.log_weight[there] += np.log(np.where(wished[:, None], wishes, 1.0 - wishes))
        cloud.log_weight[who] += _of_tone(contacts, cloud.state[dynamics.MOOD, who])
        silent = np.setdiff1d(there, who)
        sour = self._rng.random((silent.size, PARTICLES), dtype=np.float32) < UNVOICED
        cloud.state[dynamics.MOOD, silent] -= np.float32(0.5) * sour
        state = cloud.state[:, who].reshape(dynamics.DRIVERS, -1)
        dynamics.remember(state, _for_all(contacts, np.arange(state.shape[1]).reshape(-1, PARTICLES)))
        cloud.state[:, who] = state.reshape(dynamics.DRIVERS, who.size, PARTICLES)

    def _visits(self, day: Day, stay: Ints) -> Floats:
        """Log-likelihood of the day's number of visits."""
        cloud, visitors = self._cloud, self._attendance.of(day)
        came = np.bincount(visitors.who, minlength=self._settings.customers)[stay, None]
        factor = weekday(midnight(self._settings, day.number))
        log_rate = cloud.fixed[_VISIT_RATE, stay] + cloud.state[dynamics.VISITS, stay] + np.log(factor)
        likely = (came * log_rate - np.exp(log_rate)) * exposure(day, stay)[:, None]
        return np.asarray(likely, dtype=np.float32)

    def _sharpen(self, who: Ints) -> None:
        """Draw the particles anew where less than half of them carry the weight."""
        cloud = self._cloud
        cloud.log_weight[who] -= cloud.log_weight[who].max(axis=1, keepdims=True)
        weight = np.exp(cloud.log_weight[who])
        poor = weight.sum(axis=1) ** 2 < 0.5 * PARTICLES * (weight**2).sum(axis=1)
        tired, weight = who[poor], weight[poor]
        chosen = _chosen(weight, PARTICLES, self._rng)
        cloud.state[:, tired] = np.take_along_axis(cloud.state[:, tired], chosen[None], axis=2)
        fixed = np.take_along_axis(cloud.fixed[:, tired], chosen[None], axis=2)
        mean, spread = fixed.mean(axis=2, keepdims=True), fixed.std(axis=2, keepdims=True)
        jitter = sqrt(1.0 - _KEPT**2) * spread * self._rng.standard_normal(fixed.shape, dtype=np.float32)
        fixed = mean + _KEPT * (fixed - mean) + jitter
        fixed[_RISK] = np.clip(fixed[_RISK], *np.log(RISK_LIMITS))
        cloud.fixed[:, tired] = fixed
        cloud.log_weight[tired] = 0.0

    def _leaving(self, day: Day, who: Ints, billed: bool, horizon_days: float) -> Floats:
        """The probability of leaving over futures that begin in particles drawn by their weights."""
        parts = [np.zeros(0)]
        for begin in range(0, who.size, BLOCK):
            some = who[begin : begin + BLOCK]
            log_weight = self._cloud.log_weight[some]
            chosen = _chosen(np.exp(log_weight - log_weight.max(axis=1, keepdims=True)), PATHS, self._rng)
            flat = (np.arange(some.size)[:, None] * PARTICLES + chosen).ravel()
            state, people = self._cloud.take(some, self._above)
            tenure = np.repeat(day.number - self._world.started[some], PATHS)
            start = States(
                np.repeat(some, PATHS), np.zeros_like(flat), state[:, flat], tenure, np.full(flat.size, billed)
            )
            ahead = partial(self._ahead, day.number)
            parts.append(leaving_from(start, people.take(flat), horizon_days, ahead, self._rng))
        return np.concatenate(parts)

    def _ahead(self, day: int, passed: int) -> Conditions:
        return self._world.calendar.on(day + passed)


def _chosen(weight: Floats, count: int, rng: np.random.Generator) -> Ints:
    """So many particles per customer, each as often as its weight says but for less than one (systematic)."""
    edges = np.cumsum(weight, axis=1, dtype=np.float64)
    edges /= edges[:, -1:]
    points = (np.arange(count) + rng.random((len(weight), 1))) / count
    offset = np.arange(len(weight))[:, None]
    found = np.searchsorted((edges + offset).ravel(), (points + offset).ravel()).reshape(points.shape)
    return np.asarray(np.clip(found - offset * weight.shape[1], 0, weight.shape[1] - 1), dtype=np.int64)


def _of_tone(contacts: Contacts, mood: Floats) -> Floats:
    """Log-likelihood of the tones, given the moods (conversations, particles). Tones beyond -1 and 1 are cut off."""
    tone = contacts.tone[:, None]
    apart = tone - dynamics.lean(contacts.topic, contacts.resolved)[:, None] - dynamics.MOOD_IN_TONE * mood
    z = apart / dynamics.TONE_NOISE
    likely = -0.5 * z**2
    for cut in (contacts.tone <= -1.0, contacts.tone >= 1.0):
        if cut.any():
            likely[cut] = np.log(np.maximum(_normal_tail(z[cut] * np.sign(tone[cut])), 1e-30))
    return np.asarray(likely, dtype=np.float32)


def _for_all(contacts: Contacts, columns: Ints) -> Contacts:
    """The same conversations for all particles, which stand in these columns."""
    times = columns.shape[1]
    return Contacts(
        columns.ravel(),
        np.repeat(contacts.topic, times),
        np.repeat(contacts.tone, times),
        np.repeat(contacts.resolved, times),
        np.repeat(contacts.refunded, times),
    )
