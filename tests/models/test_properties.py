"""Any order, repetition and division of the events gives the same customers: the engine as a whole."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.churn.serving import ServingModel
from models.engine import APPLIED, DUPLICATE, Engine
from models.events.types import Event
from models.features import FEATURE_VERSION, FEATURES, LISTENERS
from models.features.layout import DAY_S
from models.settings import Settings

START = 1_735_689_600.0
LATER = START + 70 * DAY_S
SETTINGS = Settings()

histories = st.lists(
    st.builds(
        Event,
        name=st.sampled_from(["Order Completed", "Subscription Cancelled", "Product Viewed"]),
        effect=st.sampled_from(sorted(LISTENERS)),
        customer_id=st.sampled_from(["ann", "bob", "cy"]),
        time=st.integers(0, 60 * 86_400).map(lambda s: START + s),
        value=st.integers(0, 10_000).map(lambda cents: cents / 100),
        units=st.integers(0, 5).map(float),
        products=st.lists(st.sampled_from([f"p{i}" for i in range(50)]), max_size=2).map(tuple),
    ),
    max_size=30,
)


def engine() -> Engine:
    return Engine(SETTINGS, ServingModel.initial(FEATURES, FEATURE_VERSION, SETTINGS.label), ("s/0",))


def numbered(history: list[Event]) -> list[Event]:
    return [msgspec.structs.replace(event, message_id=f"m{i}") for i, event in enumerate(history)]


def features(subject: Engine) -> dict[str, list[float]]:
    return subject.features(sorted(subject.known), LATER)


def expect_same(left: dict[str, list[float]], right: dict[str, list[float]]) -> None:
    assert left.keys() == right.keys()
    for customer_id, row in left.items():
        assert row == pytest.approx(right[customer_id], rel=1e-9, nan_ok=True)


@given(histories, st.randoms())
@settings(max_examples=60)
def test_permuted_and_repeated_events_give_the_same_features(history: list[Event], chance: random.Random) -> None:
    """Producers' retries, in any order and cut into turns anywhere, change nothing; each repeat is told as one."""
    plain, mixed = engine(), engine()
    events = numbered(history)
    for offset, event in enumerate(events):
        plain.apply(event, "s/0", offset)
    sent = events + [event for event in events if chance.random() < 0.3]
    chance.shuffle(sent)
    outcomes = []
    for offset, event in enumerate(sent):
        outcomes.append(mixed.apply(event, "s/0", offset))
        if chance.random() < 0.2:
            mixed.flush(LATER, LATER)

    assert outcomes.count(APPLIED) == len(events)
    assert outcomes.count(DUPLICATE) == len(sent) - len(events)
    expect_same(features(plain), features(mixed))


@given(histories, st.randoms(), st.integers(1, 4))
@settings(max_examples=60)
def test_crashes_anywhere_change_nothing(history: list[Event], chance: random.Random, crashes: int) -> None:
    """A worker that forgets all, finds some of its last states, and reads again from an older offset ends alike."""
    plain, subject, changelog = engine(), engine(), dict[str, bytes]()
    events = numbered(history)
    for offset, event in enumerate(events):
        plain.apply(event, "s/0", offset)
    committed = 0
    for _ in range(crashes):
        reached = chance.randint(committed, len(events))
        for offset in range(committed, reached):
            subject.apply(events[offset], "s/0", offset)
        states = subject.flush(LATER, LATER).states
        durable = chance.random() < 0.5
        changelog.update(states if durable else states[: chance.randint(0, len(states))])
        committed = reached if durable else committed
        subject = engine()
        for customer_id, raw in changelog.items():
            subject.load(customer_id, raw)
        subject.loaded()
    for offset in range(committed, len(events)):
        subject.apply(events[offset], "s/0", offset)

    expect_same(features(plain), features(subject))


class Simulated:
    """A worker whose outputs are durable at once, whose states some turns later, and which forgets all in a crash."""

    def __init__(self) -> None:
        self.changelog: dict[str, bytes] = {}
        self.told: set[str] = set()
        self.committed = 0
        self._start()

    def _start(self) -> None:
        self.engine = engine()
        for customer_id, raw in self.changelog.items():
            self.engine.load(customer_id, raw)
        self.engine.loaded()
        self.engine.durable_until = self.engine.newest_snapshot
        self.reached = self.committed
        self._waiting: list[tuple[list[tuple[str, bytes]], float, int]] = []

    def turn(self, events: list[Event], now: float, behind: int) -> None:
        """Apply events, flush, tell; make the states of all but the last `behind` flushes durable."""
        for event in events:
            self.engine.apply(event, "s/0", self.reached)
            self.reached += 1
        while True:
            flush = self.engine.flush(now, now)
            self.told.update(example.example_id for example in flush.examples)
            self._waiting.append((flush.states, now, self.reached))
            if not self.engine.has_due(now):
                break
        while len(self._waiting) > behind:
            states, clock, self.committed = self._waiting.pop(0)
            self.changelog.update(states)
            self.engine.durable_until = max(self.engine.durable_until, clock)

    def crash(self, chance: random.Random) -> None:
        """Lose the memory, and the states on their way but for the first few."""
        for states, _, _ in self._waiting[: chance.randint(0, len(self._waiting))]:
            self.changelog.update(states)
        self._start()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), min_size=2, max_size=12), st.randoms())
@settings(max_examples=100)
def test_each_prediction_becomes_one_example_whatever_crashes(
    story: list[tuple[str, bool]], chance: random.Random
) -> None:
    """Told examples and waiting predictions are together exactly the predictions that the states say were made."""
    kinds = {True: ("Subscription Cancelled", "sub_cancel"), False: ("Subscription Started", "sub_start")}
    events = [Event(*kinds[left], who, START + hour * 3600.0) for hour, (who, left) in enumerate(story)]
    subject = Simulated()
    while subject.reached < len(events):
        upcoming = events[subject.reached : subject.reached + chance.randint(1, 3)]
        # A crash repeats the events, but not at the same times.
        subject.turn(upcoming, upcoming[-1].time + chance.random(), behind=chance.randint(0, 3))
        if chance.random() < 0.3:
            subject.crash(chance)
    for day in range(1, 70, 3):
        subject.turn([], START + day * DAY_S, behind=0)

    for customer_id in subject.engine.known:
        facts = subject.engine.customer(customer_id, LATER)
        assert facts is not None
        told = sum(example_id.startswith(f"{customer_id}@") for example_id in subject.told)
        assert told + len(facts["pending"]) == facts["snapshots"]
