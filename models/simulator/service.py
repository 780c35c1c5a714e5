"""Subscriptions, payments and conversations: what the hidden state of a customer lets happen, as events."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import orjson

from models.simulator import dynamics
from models.simulator.arrival import Mail, iso
from models.simulator.luck import Floats
from models.simulator.shop import CURRENCY, PLANS
from models.simulator.transcripts import Talk, talk, topic_of
from models.simulator.visits import Visits
from models.simulator.world import PRICES, Day, World

_CALL_SHARE = 0.35
_RATED = 0.4
_DAY_MS = 86_400_000
_ERRORS = ("card_declined", "expired_card", "insufficient_funds")


class Service:
    """Tells to the mail what happens around the subscription, day by day."""

    def __init__(self, mail: Mail, world: World, visits: Visits, dice: Random) -> None:
        self._mail, self._world, self._visits, self._dice = mail, world, visits, dice
        self._number = [1] * world.settings.customers
        self._conversations = 0

    def introduce(self) -> None:
        """Say who the customers are that exist at the start."""
        begin = self._world.settings.start_time * 1000
        for customer in np.flatnonzero(self._world.started < 0).tolist():
            since = iso(begin + int(self._world.started[customer]) * _DAY_MS)
            traits = f'"traits":{{"createdAt":"{since}","plan":"{PLANS[self._world.plan[customer]]}"}}'
            self._mail.identify(customer, begin + 10 * customer, traits)

    def tell(self, day: Day, begin: int) -> None:
        """Everything of one day but the visits. `begin` is its midnight in epoch milliseconds."""
        for moment, name in (
            (day.joined, "Subscription Started"),
            (day.returned, "Subscription Started"),
            (day.paid, "Subscription Renewed"),
            (day.failed, "Payment Failed"),
            (day.left, "Subscription Cancelled"),
        ):
            for customer, second in zip(moment.who.tolist(), moment.second.tolist(), strict=True):
                if moment is day.returned:
                    self._number[customer] += 1
                self._mail.track(customer, begin + second * 1000, name, self._subscription(customer, name, day))
        self._talks(day, begin)

    def _subscription(self, customer: int, name: str, day: Day) -> str:
        plan = self._world.plan[customer]
        price = PRICES[plan]
        extra = ""
        if name == "Subscription Cancelled":
            extra = f',"cancellation_reason":"{_reason(day.state[:, customer], price)}"'
        elif name == "Payment Failed":
            extra = f',"value":{price},"error_type":"{self._dice.choice(_ERRORS)}"'
        elif name == "Subscription Renewed":
            month = (day.number - int(self._world.started[customer])) // dynamics.BILLING_DAYS
            extra = f',"renewal":{month}'
        return (
            f'{{"subscription_id":"s-{customer}-{self._number[customer]}","plan":"{PLANS[plan]}","price":{price},'
            f'"currency":"{CURRENCY}","interval":"month"{extra}}}'
        )

    def _talks(self, day: Day, begin: int) -> None:
        contacts = day.contacts
        for customer, second, topic, tone, resolved, refunded in zip(
            day.contacted.who.tolist(),
            day.contacted.second.tolist(),
            contacts.topic.tolist(),
            contacts.tone.tolist(),
            contacts.resolved.tolist(),
            contacts.refunded.tolist(),
            strict=True,
        ):
            ended = begin + second * 1000
            self._mail.track(
                customer, ended, "Conversation Completed", self._talk(customer, ended, topic, tone, resolved)
            )
            if refunded:
                self._refund(customer, ended + self._dice.randint(60_000, 1_800_000))

    def _refund(self, customer: int, at: int) -> None:
        order_id, product, total = self._visits.last_order(customer)
        amount = min(product.price, total)
        body = f'{{"order_id":"{order_id}","total":{amount},"currency":"{CURRENCY}","products":[{{{product.fields}}}]}}'
        self._mail.track(customer, at, "Order Refunded", body)

    def _talk(self, customer: int, ended: int, topic: int, tone: float, resolved: bool) -> str:
        """The properties of one conversation that ends at `ended`, in JSON."""
        dice = self._dice
        self._conversations += 1
        order_id, product, _ = self._visits.last_order(customer)
        price = PRICES[self._world.plan[customer]]
        slots = {
            "order": order_id,
            "product": product.name,
            "days": dice.randint(2, 9),
            "amount": f"{price:.2f} euros",
            "digits": dice.randint(1000, 9999),
        }
        channel = "call" if dice.random() < _CALL_SHARE else "chat"
        spoken = talk(topic_of(topic, dice), tone, resolved, channel, slots, dice)
        body = self._properties(spoken, channel, ended, resolved)
        if dice.random() < _RATED:
            body["rating"] = max(1, min(5, round(3 + 2 * tone)))
        return orjson.dumps(body).decode()

    def _properties(self, spoken: Talk, channel: str, ended: int, resolved: bool) -> dict[str, Any]:
        conversation_id = f"t-{self._conversations:06d}"
        started = ended - spoken.duration_ms
        body: dict[str, Any] = {
            "conversation_id": conversation_id,
            "channel": channel,
            "started_at": iso(started),
            "ended_at": iso(ended),
            "agent": spoken.agent,
            "queue": spoken.queue,
            "topic": spoken.topic,
            "resolved": resolved,
        }
        if channel == "call":
            uri = f"s3://recordings.example/{conversation_id}.wav"
            body["recording"] = {"uri": uri, "duration_s": round(spoken.duration_ms / 1000, 1)}
        if self._world.settings.transcripts:
            body["turns"] = [{"role": role, "time": iso(started + at), "text": text} for role, at, text in spoken.turns]
        return body


def _reason(state: Floats, price: float) -> str:
    """What the customer gives as the reason: the driver that stands out most."""
    drivers = {
        "payment": state[dynamics.FAILED],
        "service": state[dynamics.UNRESOLVED] - 0.5 * state[dynamics.TONE],
        "not_used": state[dynamics.DETACHED],
        "price": 0.02 * price,
    }
    return max(drivers, key=lambda name: float(drivers[name]))
