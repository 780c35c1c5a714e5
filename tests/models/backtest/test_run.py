from __future__ import annotations

import json
import math

import numpy as np
import pytest

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
            found += done.examples
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


@pytest.mark.parametrize("kind", ["cancellation", "inactivity"])
def test_labels_looked_up_are_those_that_the_engine_settles(kind):
    """For the predictions that the engine keeps, the lookup finds the label that its own ledger gives."""
    chosen = settings(kind, activity_events=("page", "Order Completed"))
    run = Backtest(chosen, FEATURES, FEATURE_VERSION, now=START + 1000 * DAY)
    settled, take = [], run.learning.take

    def noted(examples):
        for one in examples:
            settled.append(one)
            yield one

    run.learning.take = lambda examples, note: take(noted(examples), note)
    list(run.run(simulate(SHOP)))
    number = {customer: place for place, customer in enumerate(run.customers)}

    customers = np.array([number[one.customer_id] for one in settled])
    as_of = np.array([one.as_of for one in settled])
    outcomes = run.truth.outcomes(customers, as_of, 14.0, math.inf)

    assert run.truth.labels(outcomes).tolist() == [one.label for one in settled]
    assert {0, 1} == {one.label for one in settled}


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
