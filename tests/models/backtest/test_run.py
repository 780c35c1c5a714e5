from __future__ import annotations

import json
import math
from random import Random

import msgspec
import numpy as np
import pytest

from models.backtest.ledger import ColumnLedger
from models.backtest.run import Backtest
from models.backtest.truth import OUTCOMES
from models.churn.learner import Learner
from models.churn.serving import ServingModel
from models.churn.waiting import WaitingRoom
from models.engine import Engine
from models.events.catalog import PURCHASES
from models.events.decode import decode
from models.events.types import Event
from models.features import FEATURE_VERSION, FEATURES
from models.records import Example
from models.settings import LabelSettings, Settings, TrainerSettings
from models.simulator import SimulatorSettings, simulate
from streams.sources.event import SourceEvent

DAY = 86_400.0
START = 1_735_689_600.0
SHOP = SimulatorSettings(customers=60, days=75, seed=3, late_rate=0.05)


def settings(kind="cancellation", **label):
    trainer = TrainerSettings(min_labels=40, min_positives=5)
    return Settings(label=LabelSettings(kind=kind, horizon_days=14.0, **label), trainer=trainer)


def backtest(chosen, events, **more):
    run = Backtest(chosen, FEATURES, FEATURE_VERSION, now=START + 1000 * DAY, **more)
    return run, list(run.run(events))


def order(customer, day, **fields):
    body = {
        "type": "track", "event": "Order Completed", "messageId": f"{customer}-{day}", "userId": customer,
        "timestamp": START + day * DAY, "properties": {"total": 10.0, "order_id": f"{customer}-{day}"}, **fields,
    }  # fmt: skip
    return SourceEvent(PURCHASES, customer, START + day * DAY, json.dumps(body).encode())


def worker_path(chosen):
    """The engine and the learner as the roles run them, flushed at midnight: probability by customer and time."""
    model = ServingModel.initial(FEATURES, FEATURE_VERSION, chosen.label)
    engine = Engine(chosen, model, ("clickstream/0", "purchases/0", "contact_center/0"))
    learner, room = Learner(FEATURES, FEATURE_VERSION, chosen.label, chosen.trainer), WaitingRoom(10**6)
    told, examples, offsets, clock = {}, [], {}, None
    decoded = [(decode(one.raw, one.topic, math.inf, chosen.events), one.topic) for one in simulate(SHOP)]
    events = sorted((pair for pair in decoded if isinstance(pair[0], Event)), key=lambda pair: pair[0].time)
    clock = math.ceil(events[0][0].time / DAY) * DAY

    def flush(at):
        found = []
        while True:
            done = engine.flush(at, at)
            # As they travel: what is unknown is null on the topic.
            found += [msgspec.json.decode(msgspec.json.encode(one), type=Example) for one in done.examples]
            told.update({(score.customer_id, at): score.probability for score in done.scores if score.eligible})
            if not engine.has_due(at):
                break
        before = learner.examples
        for example in found:
            for due in room.add(example, len(examples)):
                learner.learn(due)
            examples.append(example)
        if learner.examples > before:
            engine.models.use(learner.serving(len(examples) - 1))

    for event, topic in events:
        while event.time > clock:
            flush(clock)
            clock += DAY
        source = f"{topic}/0"
        offsets[source] = offsets.get(source, -1) + 1
        engine.apply(event, source, offsets[source])
    flush(clock)
    return told, examples, learner


def test_a_backtest_says_what_the_live_roles_would_say():
    """The same events at the same times through the engine and the learner of the roles give the same probabilities."""
    chosen = settings()
    told, examples, learner = worker_path(chosen)

    run, found = backtest(chosen, simulate(SHOP))

    said = {
        (run.customers[number], one.as_of): probability
        for one in found
        for number, probability in zip(one.customers, one.probability.tolist(), strict=True)
    }
    # A worker tells only what has changed enough, so it tells a part of what the backtest says.
    assert told.items() <= said.items()
    assert len(told) > 300
    assert run.learning.first.checkpoint() == learner.checkpoint()
    assert learner.examples > 40
    assert examples


def examples_of(chosen, events, monkeypatch, *, columns):
    """The examples of a run with the ledger of the backtest, or with the one of the worker."""
    monkeypatch.setattr(ColumnLedger, "fits", staticmethod(lambda _: columns))
    run = Backtest(chosen, FEATURES, FEATURE_VERSION, now=START + 1000 * DAY)
    found, take = [], run.learning.take

    def noted(examples):
        for one in examples:
            found.append(one)
            yield one

    run.learning.take = lambda examples, note: take(noted(examples), note)
    list(run.run(events))
    return found


def leaving(customer, day, name, **properties):
    raw = json.loads(order(customer, day).raw)
    body = raw | {"event": name, "messageId": f"{customer} {day} {name}", "properties": properties}
    return SourceEvent(PURCHASES, customer, START + day * DAY, json.dumps(body).encode())


def coming_and_going():
    """Customers who leave, some of them because a payment failed, and come back, at all hours."""
    chance, told = Random(5), []
    for customer in (f"c{number}" for number in range(40)):
        day = chance.uniform(0, 3)
        while day < 70:
            told.append(order(customer, day))
            if chance.random() < 0.15:
                cause = {"reason": "payment_failed"} if chance.random() < 0.4 else {}
                told.append(leaving(customer, day + chance.choice([0.5, 3.0, 9.0]), "Subscription Cancelled", **cause))
            day += chance.choice([0.25, 2.0, 5.0, 16.0])
    return sorted(told, key=lambda one: one.time)


@pytest.mark.parametrize(
    "label",
    [
        {},
        {"gap_days": 3.0},
        {"other_horizons_days": (7.0, 21.0)},
        {"involuntary": "churn", "gap_days": 1.5},
        {"snapshot_every_days": 1.0, "max_pending": 30},
    ],
)
@pytest.mark.parametrize("kind", ["cancellation", "inactivity"])
def test_examples_are_those_of_the_workers_ledger(kind, label, monkeypatch):
    """Looked up in columns or settled in every customer's state: the same examples, labels and times, in one order."""
    chosen = settings(kind, **label)

    found = examples_of(chosen, coming_and_going(), monkeypatch, columns=True)

    assert found == examples_of(chosen, coming_and_going(), monkeypatch, columns=False)
    assert len(found) > 100
    assert {0, 1} == {one.label for one in found}


@pytest.mark.parametrize(
    ("horizon", "max_pending", "fits"), [(30.0, 8, True), (56.0, 8, True), (57.0, 8, False), (90.0, 13, True)]
)
def test_the_worker_s_ledger_is_used_where_it_would_keep_fewer_predictions(horizon, max_pending, fits):
    """The ledger in columns knows no limit, so it stands in only where the limit changes nothing."""
    label = LabelSettings(horizon_days=horizon, max_pending=max_pending)

    assert ColumnLedger.fits(label) == fits


def test_every_customer_of_the_cohort_is_predicted_every_day():
    """Nobody is left out on a day without events, and nobody is predicted before the first order."""
    run, found = backtest(settings("inactivity"), [order("a", 0.5), order("b", 3.5), order("a", 9.2)])

    said = [(one.as_of, sorted(run.customers[number] for number in one.customers)) for one in found]
    days = [START + day * DAY for day in range(1, 11)]
    assert said == [(at, ["a"] if at <= days[2] else ["a", "b"]) for at in days]


def test_an_event_at_midnight_is_part_of_the_prediction_of_that_midnight():
    """The horizon begins after the prediction's time, so what happens at that very time is known to it."""
    _, found = backtest(settings("inactivity"), [order("a", 1.0), order("a", 2.5)])

    assert [one.as_of for one in found] == [START + day * DAY for day in (1, 2, 3)]


def test_bad_events_are_counted_by_reason_and_change_nothing():
    """Whatever lies among the events, the run goes on and says what it refused."""
    good = [order("a", 0.5), order("a", 3.5)]
    bad = [SourceEvent(PURCHASES, None, START + DAY, raw) for raw in (b"", b"{", b"\xff", b"[1]", b'{"type":"track"}')]

    run, found = backtest(settings("inactivity"), [good[0], *bad, good[1], good[1]])
    _, clean = backtest(settings("inactivity"), good)

    assert run.refused == {"empty": 1, "malformed_json": 1, "not_utf8": 1, "not_an_object": 1, "missing_event": 1}
    assert run.outcomes == {"applied": 2, "duplicate": 1}
    assert [one.probability.tolist() for one in found] == [one.probability.tolist() for one in clean]


def test_events_are_not_read_from_the_end_on():
    """What happens from `end` on is neither learned nor looked up, and the data counts as known up to there."""
    events = [order("a", 0.5), order("a", 3.5), order("a", 20.5)]

    run, found = backtest(settings("inactivity"), events, end=START + 10 * DAY)

    assert (run.events, run.known_until, found[-1].as_of) == (2, START + 10 * DAY, START + 10 * DAY)


def test_the_step_of_the_grid_is_a_setting():
    """Predictions are made as often as asked for."""
    _, found = backtest(settings("inactivity"), [order("a", 0.2), order("a", 2.9)], every_s=DAY / 4)

    assert np.diff([one.as_of for one in found]).tolist() == [DAY / 4] * (len(found) - 1)


def test_a_stopped_run_ends_as_if_the_history_ended():
    """What was predicted before is what an undisturbed run predicts; nothing is known beyond the last event."""
    events = [order("a", day + 0.5) for day in range(20)]
    run = Backtest(settings("inactivity"), FEATURES, FEATURE_VERSION, now=START + 1000 * DAY)
    found = []
    for one in run.run(events):
        found.append(one)
        if len(found) == 5:
            run.stop()

    _, whole = backtest(settings("inactivity"), events)

    assert [one.probability.tolist() for one in found] == [one.probability.tolist() for one in whole[:5]]
    assert run.known_until == START + 5.5 * DAY


def test_the_codes_of_outcomes_have_names():
    """Every outcome that can be told has a name in the files."""
    assert len(set(OUTCOMES)) == 5
