"""A worker without a broker: records of one partition go through decoder and engine, and into the verifier's tables."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from models.churn.serving import ServingModel
from models.engine import LATE, Engine
from models.events.decode import decode
from models.events.types import Rejection
from models.features import FEATURE_VERSION, FEATURES
from models.records import Example, Score
from models.settings import LabelSettings, ScoreSettings, Settings
from streams.topics import CLICKSTREAM, CONTACT_CENTER, PURCHASES
from streams.verify.check import Sample, check
from streams.verify.compare import own_sources
from streams.verify.inputs import Inputs
from streams.verify.report import Report
from streams.verify.store import INPUTS, Store, open_store

START = 1_735_689_600.0
DAY_S = 86_400.0
NOW = START + 200 * DAY_S
SETTINGS = Settings(label=LabelSettings(horizon_days=10, snapshot_every_days=5), score=ScoreSettings(min_change=0.0001))
EVERYBODY = Sample()
_TOPICS = {"Conversation Completed": CONTACT_CENTER}
_PURCHASES = ("Order", "Subscription", "Payment", "Charge")


class Record(NamedTuple):
    """One record on a source topic."""

    topic: str
    partition: int
    offset: int
    raw: bytes


def raw(event: str, customer: str = "c", day: float = 0.0, message: str | None = None, **properties: Any) -> bytes:
    """An event `day` days after START; lower-case names are calls of that type."""
    named = {"type": "track", "event": event} if event[0].isupper() else {"type": event}
    body = named | {"userId": customer, "timestamp": START + day * DAY_S, "properties": properties}
    return json.dumps(body if message is None else body | {"messageId": message}).encode()


def topic_of(value: bytes) -> str:
    """Where an event belongs; what is no JSON goes to the clickstream."""
    if not value.startswith(b"{"):
        return CLICKSTREAM
    name = json.loads(value).get("event", "")
    return _TOPICS.get(name) or (PURCHASES if name.startswith(_PURCHASES) else CLICKSTREAM)


def records(values: Iterable[bytes], partition: int = 0) -> list[Record]:
    """Records on one partition of each topic, in this order."""
    return renumbered(Record(topic_of(value), partition, 0, value) for value in values)


def renumbered(arrived: Iterable[Record]) -> list[Record]:
    """The same records with the offsets that they get when they are written in this order."""
    ends: dict[tuple[str, int], int] = defaultdict(int)
    found = []
    for record in arrived:
        place = record.topic, record.partition
        found.append(record._replace(offset=ends[place]))
        ends[place] += 1
    return found


class Played:
    """What a worker makes of records, which arrive in the order given and are flushed after every `turn` of them.

    Its clock is the greatest event time, less `ahead_s`: so long may events lie in the future.
    """

    def __init__(
        self, arrived: Sequence[Record], turn: int = 7, settings: Settings = SETTINGS, ahead_s: float = 0.0
    ) -> None:
        self.settings = settings
        self.records = list(arrived)
        self.refused: list[tuple[str, int, int, str]] = []
        self.states: dict[str, bytes] = {}
        self.scores: dict[str, Score] = {}
        self.examples: list[Example] = []
        self.clock = 0.0
        self._ahead_s = ahead_s
        model = ServingModel.initial(FEATURES, FEATURE_VERSION, settings.label)
        self.engine = Engine(settings, model, own_sources(0))
        for start in range(0, len(self.records), turn):
            for record in self.records[start : start + turn]:
                self._apply(record)
            self.flush(self.clock)

    def _apply(self, record: Record) -> None:
        event = decode(record.raw, record.topic, NOW, self.settings.events)
        if isinstance(event, Rejection):
            self.refused.append((record.topic, record.partition, record.offset, event.reason))
            return
        if self.engine.apply(event, f"{record.topic}/{record.partition}", record.offset) == LATE:
            self.refused.append((record.topic, record.partition, record.offset, LATE))
            return
        self.clock = max(self.clock, event.time - self._ahead_s)

    def flush(self, now: float) -> None:
        """One turn's end at `now`."""
        self.clock = now
        done = self.engine.flush(now, NOW)
        self.states.update(done.states)
        self.scores.update((score.customer_id, score) for score in done.scores)
        self.examples += done.examples

    def fill(self, store: Store) -> Inputs:
        """Put everything into the tables that `collect` would fill."""
        ends: dict[tuple[str, int], int] = {}
        for record in self.records:
            place = record.topic, record.partition
            ends[place] = max(ends.get(place, 0), record.offset + 1)
        told = {customer_id: msgspec.json.encode(score) for customer_id, score in self.scores.items()}
        store.append_rows("raw", INPUTS["raw"], self.records)
        store.append_rows("refused", INPUTS["refused"], self.refused)
        store.append_rows("cut", INPUTS["cut"], ((*place, end) for place, end in ends.items()))
        for name, newest in (("states", self.states), ("scores", told)):
            rows = ((customer_id, 0, at, False, value) for at, (customer_id, value) in enumerate(newest.items()))
            store.append_rows(name, INPUTS[name], rows)
        return Inputs(
            source="memory", clock="event", clock_at=self.clock, read_at=NOW, duplicate_window=64,
            refresh_every_s=self.settings.score.refresh_every_s,
        )  # fmt: skip


@contextmanager
def filled(played: Played):
    """A store with what was played, and its inputs."""
    with open_store() as store:
        yield store, played.fill(store)


def verified(played: Played, sample: Sample = EVERYBODY, as_of: float | None = None, **changed: Any) -> Report:
    """The report of a verification of what was played; `changed` are fields of the inputs."""
    with filled(played) as (store, inputs):
        return check(store, msgspec.structs.replace(inputs, **changed), sample, as_of)


def a_story() -> list[bytes]:
    """Some months of two customers, with something of everything."""
    values = []
    for day in range(0, 120, 3):
        values += [
            raw("page", "anna", day + 0.01),
            raw("Product Viewed", "anna", day + 0.4, product_id=f"p{day}"),
            raw("Products Searched", "bert", day / 2 + 0.9999),
            raw("Product Added", "bert", day / 2 + 0.02, sku=day),
        ]
    for day in range(0, 120, 7):
        products = [{"product_id": f"p{day}", "quantity": 2}, {"name": "x", "quantity": "0.5"}]
        values += [
            raw("Order Completed", "anna", day + 0.5, revenue=19.99 + day, discount="1.5", products=products),
            raw("Payment Failed", "bert", day / 2 + 0.5, value=3),
            raw("Conversation Completed", "anna", day + 0.7, conversation_id=f"c{day}", channel="chat",
                resolved=day % 2 == 0, turns=[{"role": "customer", "text": "I am angry, cancel my account" if day % 3
                                               else "Thank you, great help!"}]),
        ]  # fmt: skip
    values += [
        raw("Subscription Started", "anna", 1.0),
        raw("Subscription Created", "bert", 2.0),
        raw("Subscription Renewed", "anna", 31.0),
        raw("Order Refunded", "anna", 80.0, total=4.5, revenue=9),
        raw("Order Canceled", "bert", 50.0),
    ]
    return sorted(values, key=lambda value: json.loads(value)["timestamp"])
