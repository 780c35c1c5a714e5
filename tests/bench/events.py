"""Mixed events for the full job: bodies as the simulated shop tells them, for as many customers as wanted.

The simulator's own stream is a model of behaviour and makes a few thousand events a second; here its bodies, with new
ids and times, are dealt out at random in the shares of a busy shop. The same arguments give the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import islice

import orjson

from models.settings import LabelSettings
from models.simulator.events import simulate
from models.simulator.settings import SimulatorSettings
from streams.topics import CLICKSTREAM, CONTACT_CENTER, PURCHASES

SHARES = {CLICKSTREAM: 0.85, PURCHASES: 0.12, CONTACT_CENTER: 0.03}
_TOPICS, _WEIGHTS = list(SHARES), list(SHARES.values())
_JOINING = (
    b'"type":"track","event":"Subscription Started",'
    b'"properties":{"subscription_id":"s-1","plan":"classic","price":14.99,"currency":"EUR","interval":"month"}}'
)
_SIMULATED = 20_000
_ENDS = LabelSettings().cancellation_events
_OWN = ("messageId", "userId", "anonymousId", "timestamp", "originalTimestamp", "sentAt", "receivedAt")


def mixed(count: int, customers: int, begin: float, end: float, seed: int = 1) -> Iterator[tuple[str, str, bytes]]:
    """Logical topic, customer id and JSON of random customers' events, with even times from `begin` to `end`."""
    chance = random.Random(seed)
    step = (end - begin) / max(1, count)
    for number in range(count):
        yield _event(chance, chance.randrange(customers), begin + number * step, f"{seed}-{number}")


def in_turn(count: int, customers: int, begin: float, end: float, seed: int = 3) -> Iterator[tuple[str, str, bytes]]:
    """As `mixed`, but customer after customer, so that the same comes again as late as possible."""
    chance = random.Random(seed)
    step = (end - begin) / max(1, count)
    for number in range(count):
        yield _event(chance, number % customers, begin + number * step, f"{seed}-{number}")


def roll_call(customers: int, begin: float, end: float, seed: int = 2) -> Iterator[tuple[str, str, bytes]]:
    """A subscription of every customer: after it, all exist and are scored."""
    chance = random.Random(seed)
    step = (end - begin) / max(1, customers)
    for number in range(customers):
        yield _event(chance, number, begin + number * step, f"{seed}-{number}", _JOINING)


def _event(
    chance: random.Random, number: int, time: float, message_id: str, body: bytes = b""
) -> tuple[str, str, bytes]:
    topic = PURCHASES if body else chance.choices(_TOPICS, _WEIGHTS)[0]
    customer, when = f"c{number:07d}", datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    head = (
        f'{{"messageId":"m-{message_id}","userId":"{customer}","anonymousId":"a-{number:012x}","timestamp":"{when}",'
        f'"originalTimestamp":"{when}","sentAt":"{when}","receivedAt":"{when}",'
    )
    return topic, customer, head.encode() + (body or chance.choice(_bodies()[topic]))


@cache
def _bodies() -> dict[str, list[bytes]]:
    """Per topic, what follows the ids and times in simulated events."""
    found: dict[str, list[bytes]] = {topic: [] for topic in _TOPICS}
    shop = SimulatorSettings(customers=500, hostile_rate=0, skewed_rate=0, duplicate_rate=0)
    for told in islice(simulate(shop), _SIMULATED):
        plain = orjson.loads(told.raw)
        # A cancellation takes the customer out of the cohort; drawn at random, nobody would be left.
        if plain.get("event") not in _ENDS:
            body = orjson.dumps({name: value for name, value in plain.items() if name not in _OWN})
            found[told.topic].append(body[1:])
    return found
