"""How the hidden state of customers moves from day to day, and how likely each is to cancel.

The same functions, always in this order, drive both the one world that happens (`world`) and the
many that might have (`truth`), so the truth is a property of the very process that made the events:

1. `bill`: monthly renewals, some of which fail;
2. `contact`: conversations - complaints that get resolved or not, wishes to cancel, questions, praise;
3. `hazard`, again after the conversations by `reconsider`: the probability of cancelling at the end of this day;
4. `settle`: what happened fades, satisfaction and visits drift to the next day.

A state is a float array of shape (`DRIVERS`, customers). Everything is vectorised over customers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.simulator.conditions import COMPLAINT, RESOLVED_SHARE, UNVOICED, Conditions
from models.simulator.luck import Floats, Ints, Luck

Bools = npt.NDArray[np.bool_]

#: Rows of a state. VISITS is the log of the present visit rate over the customer's usual one, SLIDE pulls it down,
#: and DETACHED follows it with opposite sign: who has visited less for some weeks has begun to do without.
VISITS, SLIDE, DETACHED, MOOD, FAILED, UNRESOLVED, TONE, REFUNDED, WANTS_OUT = range(9)
DRIVERS = 9

_HALF_LIFE_DAYS = {SLIDE: 12, FAILED: 20, UNRESOLVED: 30, TONE: 35, REFUNDED: 25, WANTS_OUT: 10}
_KEPT = np.ones((DRIVERS, 1), np.float32)
for _driver, _days in _HALF_LIFE_DAYS.items():
    _KEPT[_driver] = 0.5 ** (1.0 / _days)

BILLING_DAYS = 30
NEWCOMER_DAYS = np.float32(40.0)

REFUND_SHARE = 0.4
WISH_PER_HAZARD = 3.0
#: Nobody visits less than this log share of usual: beyond it nothing could be seen.
FEWEST_VISITS = -2.2
SLIDE_START = 0.004
MOOD_IN_TONE, TONE_NOISE = 0.4, 0.2

COMPLAINED, ASKED_TO_LEAVE, ASKED, PRAISED = range(4)

#: One uniform draw decides what a customer contacts the shop about: `Conditions.edges` of the shares of these topics.
UNRESOLVED_SHARE = (UNVOICED + COMPLAINT * RESOLVED_SHARE, UNVOICED + COMPLAINT)
_TOPICS = np.array([COMPLAINED, ASKED, PRAISED, ASKED_TO_LEAVE])


@dataclass(frozen=True, slots=True)
class People:
    """What does not change while a customer stays: the hazard's personal part, the risk of a failed payment, and how
    far the price is above that of the middle plan, in units of 10.
    """

    constant: Floats
    payment_risk: Floats
    above: Floats

    def take(self, index: Ints) -> People:
        return People(self.constant[index], self.payment_risk[index], self.above[index])


@dataclass(frozen=True, slots=True)
class Contacts:
    """The conversations of one day: who (positions in the state), what about, how it went."""

    who: Ints
    topic: Ints
    tone: Floats
    resolved: Bools
    refunded: Bools


def bill(state: Floats, people: People, tenure: Ints, conditions: Conditions, luck: Luck) -> tuple[Ints, Ints]:
    """Charge the customers whose month is over; return who paid and whose payment failed."""
    due = np.flatnonzero((tenure > 0) & (tenure % BILLING_DAYS == 0))
    refused = luck.billing(due) < conditions.refusal(people.payment_risk[due])
    failed = due[refused]
    state[FAILED, failed] += 1.0
    state[MOOD, failed] -= 0.2
    return due[~refused], failed


def contact(state: Floats, today: Floats, conditions: Conditions, luck: Luck) -> Contacts:
    """Let the day's troubles, wishes, questions and praise happen. `today` is the hazard as it stands."""
    draw, edges = luck.contacts(state.shape[1]), conditions.edges
    state[MOOD, np.flatnonzero(draw < UNVOICED)] -= 0.5
    wish = edges[-1] + wishing(today)
    who = np.flatnonzero((draw >= UNVOICED) & (draw < wish))
    within = draw[who]
    topic = _TOPICS[np.searchsorted(edges[1:], within, side="right")]
    # The place of the draw within its own share decides the outcome, so that even draws give even outcomes.
    complaint, asked = topic == COMPLAINED, topic == ASKED_TO_LEAVE
    settled = (within - UNVOICED) < conditions.complaint * conditions.resolved
    kept = (within - edges[-1]) < (wish[who] - edges[-1]) * conditions.resolved
    return _converse(state, who, topic, np.select([complaint, asked], [settled, kept], default=True), luck.rng)


def wishing(today: Floats) -> Floats:
    """The probability of asking to cancel today, for a hazard."""
    return np.asarray(np.minimum(WISH_PER_HAZARD * today, 0.3), dtype=np.float32)


def _converse(state: Floats, who: Ints, topic: Ints, resolved: Bools, rng: np.random.Generator) -> Contacts:
    refunded = (topic == COMPLAINED) & resolved & (rng.random(who.size, dtype=np.float32) < REFUND_SHARE)
    noise = TONE_NOISE * rng.standard_normal(who.size, dtype=np.float32)
    tone = np.clip(lean(topic, resolved) + MOOD_IN_TONE * state[MOOD, who] + noise, -1.0, 1.0).astype(np.float32)
    contacts = Contacts(who, topic, tone, resolved, refunded)
    remember(state, contacts)
    return contacts


def lean(topic: Ints, resolved: Bools) -> npt.NDArray[np.float64]:
    """The mean tone of conversations with people in a neutral mood."""
    complaint = topic == COMPLAINED
    worst, bad = complaint & ~resolved, complaint | (topic == ASKED_TO_LEAVE)
    return np.select([worst, bad, topic == PRAISED], [-0.7, -0.3, 0.6], 0.1)


def remember(state: Floats, contacts: Contacts) -> None:
    """What conversations leave behind in those who had them."""
    who, topic, resolved = contacts.who, contacts.topic, contacts.resolved
    complaint, wish = topic == COMPLAINED, topic == ASKED_TO_LEAVE
    state[TONE, who] = contacts.tone
    state[MOOD, who] += np.select([complaint & ~resolved, complaint, topic == PRAISED], [-0.9, -0.2, 0.3], 0.0)
    state[UNRESOLVED, who] += complaint & ~resolved
    state[REFUNDED, who] += contacts.refunded
    state[WANTS_OUT, who] += np.where(wish, np.where(resolved, 0.3, 1.0), 0.0)


def hazard(state: Floats, people: People, tenure: Ints, conditions: Conditions) -> Floats:
    """The probability that each customer cancels today, given today's state."""
    causes = conditions.causes
    z = people.constant + np.float32(causes.newcomer) * np.exp(tenure.astype(np.float32) / -NEWCOMER_DAYS)
    z += np.float32(causes.detached) * np.clip(state[DETACHED], -1.0, 2.5)
    z += np.float32(causes.payment_failed) * np.minimum(state[FAILED], 1.5)
    z += np.float32(causes.unresolved) * np.minimum(state[UNRESOLVED], 1.5)
    z += np.float32(causes.refunded) * state[REFUNDED]
    z += np.float32(causes.wants_out) * np.minimum(state[WANTS_OUT], 1.0)
    z -= np.float32(causes.displeased) * state[TONE]
    z -= np.float32(causes.mood) * state[MOOD]
    if conditions.extra or conditions.extra_price:
        z += np.float32(conditions.extra) + np.float32(conditions.extra_price) * people.above
    result: Floats = np.float32(1.0) / (np.float32(1.0) + np.exp(-z))
    return result


def reconsider(
    today: Floats, contacts: Contacts, state: Floats, people: People, tenure: Ints, conditions: Conditions
) -> Floats:
    """The hazard once the conversations of the day are over."""
    who = contacts.who
    result = today.copy()
    result[who] = hazard(state[:, who], people.take(who), tenure[who], conditions)
    return result


def settle(state: Floats, luck: Luck) -> None:
    """Move the state to the next day, in place."""
    count = state.shape[1]
    state[VISITS] += np.minimum(state[MOOD], 0.0) * np.float32(0.02) - np.float32(0.15) * state[SLIDE]
    state[VISITS] += np.float32(0.03) * luck.normal(count)
    np.maximum(state[VISITS] * np.float32(0.98), np.float32(FEWEST_VISITS), out=state[VISITS])
    state[DETACHED] -= np.float32(0.08) * (state[DETACHED] + state[VISITS])
    state[MOOD] *= np.float32(0.96)
    state[MOOD] += np.float32(0.06) * luck.normal(count)
    state *= _KEPT
    sliding = np.flatnonzero(luck.slides(count) < SLIDE_START)
    state[SLIDE, sliding] += 1.0


def fresh(count: int, rng: np.random.Generator) -> Floats:
    """States of customers who just joined."""
    state = np.zeros((DRIVERS, count), np.float32)
    state[VISITS] = 0.2 + 0.15 * rng.standard_normal(count, dtype=np.float32)
    state[MOOD] = 0.2 * rng.standard_normal(count, dtype=np.float32)
    return state
