"""The small job that every framework does: the event, six features per customer, one logistic score per event.

Only the standard library, since it is imported in the peers' own environments. All sums are exact or taken in the
order of a customer's events, so that every contestant must give the same scores.
"""

from __future__ import annotations

import gc
import json
import math
import os
import random
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

#: Of one customer: events, orders, cents spent, first and last time, hours before the last event.
State = list[float]
#: One weight per feature, then the intercept.
WEIGHTS = (-0.30, -0.45, -0.12, 0.35, 0.02, -0.015)
INTERCEPT = 0.4

_START = 1_750_000_000.0
_ORDER_SHARE = 0.2
_TOLERANCE = 1e-6


class Task(NamedTuple):
    """What a contestant is told, as JSON in its only argument. `folder` is its own, for state and its start mark."""

    bootstrap: str
    events: str
    scores: str
    changelog: str
    group: str
    partitions: int
    folder: str

    @staticmethod
    def parse(argv: list[str]) -> Task:
        return Task(**json.loads(argv[1]))

    def text(self) -> str:
        return json.dumps(self._asdict())


def events(count: int, customers: int, seed: int = 1) -> Iterator[tuple[str, bytes]]:
    """Customer id and JSON of each event: views, and orders with a total. The same arguments give the same bytes."""
    chance = random.Random(seed)
    now = _START
    for number in range(count):
        now += chance.expovariate(1.0)
        customer = f"c{chance.randrange(customers):06d}"
        head = f'{{"messageId":"m{number:09d}","type":"track","userId":"{customer}","timestamp":{now:.3f},'
        if chance.random() < _ORDER_SHARE:
            total = chance.randrange(100, 20_000) / 100
            body = (
                f'"event":"Order Completed","properties":{{"order_id":"o{number}","total":{total},"currency":"EUR"}}}}'
            )
        else:
            product = chance.randrange(500)
            body = f'"event":"Product Viewed","properties":{{"product_id":"p{product}","category":"k{product % 12}"}}}}'
        yield customer, (head + body).encode()


def update(state: State | None, event: dict[str, Any]) -> State:
    """The customer's state after one more event, as a new list."""
    now = event["timestamp"]
    count, orders, cents, first, last, _ = state or (0, 0, 0, now, now, 0.0)
    if event["event"] == "Order Completed":
        orders += 1
        cents += round(event["properties"]["total"] * 100)
    return [count + 1, orders, cents, first, now, (now - last) / 3600]


def features(state: State) -> tuple[float, ...]:
    """The six features of a state."""
    count, orders, cents, first, last, gap = state
    days = (last - first) / 86_400
    return (math.log1p(count), math.log1p(orders), math.log1p(cents / 100), (count - orders) / count, gap, days)


def score(state: State) -> float:
    """The logistic score of a state, 0 to 1."""
    z = INTERCEPT
    for weight, feature in zip(WEIGHTS, features(state), strict=True):
        z += weight * feature
    return 1 / (1 + math.exp(-z))


def message(customer: str, state: State, probability: float) -> dict[str, Any]:
    """The score message: which customer, after how many of its events, how probable."""
    return {"customer_id": customer, "events": int(state[0]), "probability": probability}


def expected(source: Iterable[tuple[str, bytes]]) -> dict[str, tuple[int, float]]:
    """Number of events and final score of every customer."""
    states: dict[str, State] = {}
    for customer, raw in source:
        states[customer] = update(states.get(customer), json.loads(raw))
    return {customer: (int(state[0]), score(state)) for customer, state in states.items()}


def verdict(found: Iterable[dict[str, Any]], wanted: dict[str, tuple[int, float]]) -> str:
    """What is wrong with a contestant's score messages, in the order of their partition; empty if nothing is."""
    total, last = 0, {}
    for said in found:
        total += 1
        last[said["customer_id"]] = (said["events"], said["probability"])
    count = sum(number for number, _ in wanted.values())
    if total != count:
        return f"{total:,} scores instead of {count:,}"
    wrong = sum(
        1
        for customer, (number, probability) in wanted.items()
        if customer not in last or last[customer][0] != number or abs(last[customer][1] - probability) > _TOLERANCE
    )
    return f"{wrong:,} of {len(wanted):,} final scores differ" if wrong else ""


def calm_collector() -> None:
    """Let the garbage collector look less often: chunks of records are no garbage. Every contestant does this."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


class Start:
    """Leaves a note of the moment at which a contestant has its first event: clock and CPU time so far, seconds."""

    name = "started.json"

    def __init__(self, task: Task) -> None:
        self._path = Path(task.folder) / self.name
        self._done = False

    def mark(self) -> None:
        """Call with every event or chunk; only the first call does anything."""
        if not self._done:
            self._done = True
            scratch = self._path.with_suffix(f".{os.getpid()}")
            scratch.write_text(json.dumps({"at": time.time(), "cpu": time.process_time()}))
            scratch.replace(self._path)
