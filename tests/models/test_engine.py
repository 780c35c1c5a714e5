"""The engine of one partition: guards, emission, silence, maturity, and states that survive encoding."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.churn.serving import ServingModel
from models.engine import APPLIED, DUPLICATE, LATE, REPLAYED, Engine
from models.events.types import Event
from models.features import FEATURE_NAMES, FEATURE_VERSION, FEATURES
from models.features.layout import DAY_S
from models.records import Example, Score
from models.scoring import readable, served
from models.settings import EventSettings, LabelSettings, ScoreSettings, Settings
from models.state import StateError, peek
from models.table import Table, split

START = 1_735_689_600.0
SETTINGS = Settings(label=LabelSettings(horizon_days=10, snapshot_every_days=5), score=ScoreSettings(min_change=0.05))


def engine(settings: Settings = SETTINGS) -> Engine:
    model = ServingModel.initial(FEATURES, FEATURE_VERSION, settings.label)
    return Engine(settings, model, ("purchases/0", "clickstream/0"))


def facts(subject: Engine, customer: str = "c", day: float = 0.0) -> dict[str, Any]:
    found = subject.customer(customer, START + day * DAY_S)
    assert found is not None
    return found


def all_states(subject: Engine) -> dict[str, bytes]:
    dump = subject.dump()
    rows = np.arange(len(dump.ids))
    return dict(zip(dump.ids, Table.restore(dump).encode(rows, subject.epoch), strict=True))


def order(customer: str, day: float, message: str | None = None) -> Event:
    return Event("Order Completed", "order", customer, START + day * DAY_S, message, value=20.0)


def cancel(customer: str, day: float) -> Event:
    return Event("Subscription Cancelled", "sub_cancel", customer, START + day * DAY_S)


def flush(subject: Engine, day: float) -> tuple[list[Score], list[Example], dict[str, bytes]]:
    now = START + day * DAY_S
    scores: list[Score] = []
    examples: list[Example] = []
    states: dict[str, bytes] = {}
    while True:
        result = subject.flush(now, now)
        scores += result.scores
        examples += result.examples
        states |= dict(result.states)
        if not subject.has_due(now):
            return scores, examples, states


def test_an_offset_is_applied_once() -> None:
    """A record at or below the last applied offset of its source changes nothing."""
    subject = engine()

    assert subject.apply(order("c", 0), "purchases/0", 7) == APPLIED
    assert subject.apply(order("c", 0), "purchases/0", 7) == REPLAYED
    assert subject.apply(order("c", 0), "purchases/0", 3) == REPLAYED
    assert subject.apply(order("c", 0), "rerouted/0", 3) == APPLIED
    assert facts(subject)["features"]["orders_total"] == 2
    assert facts(subject)["offsets"] == {"purchases/0": 7, "rerouted/0": 3}


def test_a_producers_retry_is_applied_once() -> None:
    """The same message id under another offset changes nothing but the offset."""
    subject = engine()
    subject.apply(order("c", 0, "m1"), "purchases/0", 0)

    assert subject.apply(order("c", 0, "m1"), "purchases/0", 1) == DUPLICATE
    assert facts(subject)["features"]["orders_total"] == 1
    assert facts(subject)["offsets"] == {"purchases/0": 1}


def test_replaying_everything_after_a_crash_changes_no_state() -> None:
    """A worker that restores the changelog and reads all its events again ends in the same states."""
    history = [order(f"c{i % 3}", i / 10, f"m{i}") for i in range(40)]
    subject = engine()
    for offset, event in enumerate(history):
        subject.apply(event, "purchases/0", offset)
    _, _, states = flush(subject, 4)

    restored = engine()
    for key, raw in states.items():
        restored.load(key, raw)
    restored.loaded()
    outcomes = {restored.apply(event, "purchases/0", offset) for offset, event in enumerate(history)}

    assert outcomes == {REPLAYED}
    assert all_states(restored) == states


def test_first_score_then_only_what_is_worth_telling() -> None:
    """A customer's first score is emitted; an unchanged one is not."""
    subject = engine()
    subject.apply(order("c", 0), "purchases/0", 0)
    first, _, _ = flush(subject, 0.01)
    second, _, _ = flush(subject, 0.02)

    assert [s.revision for s in first] == [1]
    assert second == []
    assert first[0].source_offsets == {"purchases/0": 0}
    assert set(first[0].features) == set(FEATURE_NAMES)


def test_silence_is_scored_by_the_clock() -> None:
    """Without any event the clock alone raises the score and emits it."""
    subject = engine()
    for offset in range(10):
        subject.apply(order("c", offset), "purchases/0", offset)
    first, _, _ = flush(subject, 9.1)
    later = [score for day in range(10, 30) for score in flush(subject, day)[0]]

    assert later
    assert later[-1].probability > first[-1].probability
    assert later[-1].features["days_since_order"] > 9


def test_a_prediction_matures_once_with_the_vector_that_was_served() -> None:
    """At the horizon the stored row comes out, equal to the published features, with label 0."""
    subject = engine()
    subject.apply(order("c", 0), "purchases/0", 0)
    scores, none_yet, _ = flush(subject, 1)
    _, examples, _ = flush(subject, 11)
    _, again, _ = flush(subject, 11.5)

    assert none_yet == again == []
    assert [e.label for e in examples] == [0]
    assert examples[0].as_of == START + DAY_S
    published = [np.nan if v is None else v for v in dict(scores[0].features).values()]
    assert np.array(examples[0].features) == pytest.approx(np.array(published), abs=0, nan_ok=True)
    assert examples[0].probability == scores[0].probability


def test_leaving_settles_at_once_and_is_told_once() -> None:
    """A cancellation yields a positive example and one last score with band `left`."""
    subject = engine()
    subject.apply(order("c", 0), "purchases/0", 0)
    flush(subject, 1)
    subject.apply(cancel("c", 2), "purchases/0", 1)
    scores, examples, _ = flush(subject, 2)
    after = [score for day in range(3, 40) for score in flush(subject, day)[0]]

    assert [e.label for e in examples] == [1]
    assert [(s.band, s.eligible, s.likelihood_to_churn) for s in scores] == [("left", False, False)]
    assert after == []


def test_pending_predictions_are_spaced_and_bounded() -> None:
    """Many flushes keep at most one snapshot per interval and never more than allowed."""
    settings = msgspec.structs.replace(
        SETTINGS, label=LabelSettings(horizon_days=100, snapshot_every_days=5, max_pending=3)
    )
    subject = engine(settings)
    for offset in range(40):
        subject.apply(order("c", offset), "purchases/0", offset)
        flush(subject, offset + 0.1)
    times = facts(subject, day=40)["pending"]

    assert len(times) == 3
    assert min(b - a for a, b in itertools.pairwise(times)) >= 5 * DAY_S


def test_percentile_ranks_within_the_partition() -> None:
    """The riskiest customer ranks at 100, and a customer who left no longer counts."""
    subject = engine()
    for i in range(20):
        for offset, day in enumerate((i - 5.0, i)):
            subject.apply(order(f"c{i:02}", day), "purchases/0", offset + 2 * i)
    scores, _, _ = flush(subject, 20)
    by_risk = sorted(scores, key=lambda s: s.probability)

    assert by_risk[-1].percentile == 100.0
    assert by_risk[0].percentile <= by_risk[-1].percentile


def test_score_id_is_stable_for_the_same_score() -> None:
    """Making the same score again after a crash gives the same id."""
    made = []
    for _ in range(2):
        subject = engine()
        subject.apply(order("c", 0), "purchases/0", 0)
        made.append(flush(subject, 1)[0][0].score_id)

    assert made[0] == made[1]


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["order", "view", "refund"])), max_size=30))
def test_states_round_trip(history: list[tuple[int, str]]) -> None:
    """Encoding and decoding a state keeps every field and every feature."""
    subject = engine()
    for offset, (day, effect) in enumerate(history):
        subject.apply(Event("e", effect, "c", START + day * DAY_S, f"m{offset}", products=("p",)), "s/0", offset)
    _, _, states = flush(subject, 61)
    subject_again = engine()
    for key, raw in states.items():
        subject_again.load(key, raw)
    subject_again.loaded()

    assert all_states(subject_again) == states
    assert repr(subject_again.customer("c", START)) == repr(subject.customer("c", START))


def a_state() -> bytes:
    subject = engine()
    subject.apply(order("c", 0, "m"), "purchases/0", 0)
    return flush(subject, 0)[2]["c"]


@pytest.mark.parametrize("cut", [0, 1, 5, 20, 300, -1])
def test_foreign_bytes_are_refused(cut: int) -> None:
    """Bytes that are no state, or a part of one, raise StateError, never something else."""
    for raw in (a_state()[:cut], b"\x07" + bytes(400), a_state() + b"more"):
        with pytest.raises(StateError):
            split("c", raw)


def test_a_state_of_another_layout_is_refused_by_name() -> None:
    """When a group keeps other summaries than before, old states are not misread: the error says what to do."""
    raw = bytearray(a_state())
    raw[17] ^= 1

    with pytest.raises(StateError, match="customer 'c' was kept with other summaries; allowed: the same"):
        engine().load("c", bytes(raw))


def test_states_carry_their_owners_epoch() -> None:
    """A reader can tell from the header alone who wrote a state and when the clock must look."""
    subject = engine()
    subject.epoch = 7
    subject.apply(order("c", 0), "purchases/0", 0)
    header = peek(flush(subject, 0.5)[2]["c"])

    assert header.epoch == 7
    assert header.due_at == START + DAY_S


def test_a_dump_continues_like_the_original() -> None:
    """A restored dump is not touched by what the original does later, and both go on alike."""
    subject = engine()
    for offset in range(30):
        subject.apply(order(f"c{offset % 5}", offset, f"m{offset}"), "purchases/0", offset)
    flush(subject, 30)
    before = all_states(subject)
    restored = engine()
    dump = subject.dump()
    subject.apply(order("c1", 31), "purchases/0", 31)
    later = flush(subject, 32)
    restored.restore(dump)
    restored.loaded()

    assert all_states(restored) == before
    restored.apply(order("c1", 31), "purchases/0", 31)
    assert repr(flush(restored, 32)) == repr(later)


def test_a_message_id_is_remembered_as_long_as_the_window_says() -> None:
    """A retry is noticed among the last ids of the window, also after a restart, and not beyond."""
    settings = msgspec.structs.replace(SETTINGS, worker=msgspec.structs.replace(SETTINGS.worker, duplicate_window=3))
    subject = engine(settings)
    for offset in range(4):
        subject.apply(order("c", 0, f"m{offset}"), "purchases/0", offset)
    restored = engine(settings)
    for key, raw in flush(subject, 0)[2].items():
        restored.load(key, raw)
    restored.loaded()

    assert [restored.apply(order("c", 0, f"m{3 - i}"), "purchases/0", 10 + i) for i in range(4)] == [
        DUPLICATE, DUPLICATE, DUPLICATE, APPLIED,
    ]  # fmt: skip


def test_too_late_events_change_nothing() -> None:
    """An event too far behind the watermark is told apart, unless it was applied before; others land in their day."""
    settings = msgspec.structs.replace(SETTINGS, events=EventSettings(max_late_s=5 * DAY_S))
    subject = engine(settings)
    subject.apply(order("c", 0), "purchases/0", 0)
    subject.apply(order("other", 10), "purchases/0", 1)
    flush(subject, 10)

    assert subject.watermark == START + 10 * DAY_S
    assert subject.apply(order("c", 0), "purchases/0", 0) == REPLAYED
    assert subject.apply(order("c", 4.9), "purchases/0", 2) == LATE
    assert subject.apply(order("stranger", 4.9), "purchases/0", 3) == LATE
    assert subject.apply(order("c", 5), "purchases/0", 4) == APPLIED
    found = facts(subject, day=12)["features"]
    assert (found["orders_total"], found["orders_7d"], found["orders_30d"]) == (2, 0, 2)
    assert "stranger" not in subject


def test_a_source_that_runs_ahead_makes_nobody_late() -> None:
    """The slowest source that is not idle decides; the watermark survives a restart and never falls."""
    settings = msgspec.structs.replace(SETTINGS, events=EventSettings(max_late_s=DAY_S))
    subject = engine(settings)
    subject.apply(order("c", 0), "clickstream/0", 0)
    subject.apply(order("c", 300), "purchases/0", 0)
    flush(subject, 300)
    assert subject.apply(order("c", 2), "clickstream/0", 1) == APPLIED

    subject.idle("clickstream/0")
    _, _, states = flush(subject, 300)
    assert subject.watermark == START + 300 * DAY_S
    restored = engine(settings)
    for key, raw in states.items():
        restored.load(key, raw)
    restored.loaded()
    assert restored.apply(order("c", 3), "clickstream/0", 2) == LATE
    assert subject.apply(order("c", 299.5), "clickstream/0", 3) == APPLIED
    flush(subject, 300)
    assert subject.watermark == START + 300 * DAY_S


def test_idle_customers_leave_memory_and_come_back() -> None:
    """Who has left and was silent for long is taken out, and an event brings back the very state."""
    subject, attic = engine(), dict[str, bytes]()
    for offset, customer in enumerate(["gone", "here"]):
        subject.apply(order(customer, 0), "purchases/0", offset)
    flush(subject, 0.5)
    subject.apply(cancel("gone", 1), "purchases/0", 2)
    for day in range(2, 40, 10):
        flush(subject, day)
    early = subject.evict(START + 40 * DAY_S, 60 * DAY_S, 10)
    attic.update(subject.evict(START + 70 * DAY_S, 60 * DAY_S, 10))
    subject.missing = attic.get

    assert early == []
    assert (list(attic), len(subject)) == (["gone"], 1)
    subject.apply(order("gone", 71), "purchases/0", 5)
    scores, _, _ = flush(subject, 71)
    assert [(s.customer_id, s.revision, s.features["orders_total"]) for s in scores if s.customer_id == "gone"] == [
        ("gone", 3, 2.0)
    ]
    assert subject.apply(order("gone", 71), "purchases/0", 5) == REPLAYED


def test_a_customer_without_any_remembered_time_is_not_idle_at_once() -> None:
    """Who was only ever named stays in memory as long as others do after their last event."""
    subject = engine()
    subject.apply(Event("identify", "identify", "named", START), "clickstream/0", 0)
    subject.apply(order("c", 0), "purchases/0", 0)
    flush(subject, 1)

    assert subject.evict(START + 50 * DAY_S, 60 * DAY_S, 10) == []
    assert [customer_id for customer_id, _ in subject.evict(START + 70 * DAY_S, 60 * DAY_S, 10)] == ["named"]


def test_an_evicted_customers_offsets_hold_after_a_restart() -> None:
    """Events that only an evicted customer had seen are not applied again when its source is read once more."""
    subject = engine()
    subject.apply(order("gone", 0), "purchases/0", 0)
    flush(subject, 0.5)
    subject.apply(cancel("gone", 1), "purchases/0", 7)
    for day in (1, 2, 40):
        flush(subject, day)
    attic = dict(subject.evict(START + 70 * DAY_S, 60 * DAY_S, 10))
    restarted = engine()
    restarted.loaded()
    restarted.missing = attic.get

    assert restarted.apply(order("gone", 0), "purchases/0", 0) == REPLAYED
    assert restarted.apply(cancel("gone", 1), "purchases/0", 7) == REPLAYED
    assert restarted.apply(order("new", 1), "purchases/0", 5) == APPLIED


def test_an_example_waits_until_its_prediction_is_durable() -> None:
    """A prediction that a crash could still make unmade is not settled; once its state is durable, it is."""
    subject = engine()
    subject.durable_until = START
    subject.apply(order("c", 0.5), "purchases/0", 0)
    flush(subject, 1)
    subject.apply(cancel("c", 2), "purchases/0", 1)
    _, early, _ = flush(subject, 2)
    held = subject.holds_ready
    subject.durable_until = START + DAY_S
    _, examples, _ = flush(subject, 2)

    assert (early, held) == ([], False)
    assert [(e.as_of, e.label) for e in examples] == [(START + DAY_S, 1)]
    assert facts(subject, day=2)["pending"] == []
    assert not subject.holds_ready


def test_retelling_emits_again_what_did_not_change() -> None:
    """State and score of a customer can be asked for again; strangers are ignored."""
    subject = engine()
    subject.apply(order("c", 0), "purchases/0", 0)
    first, _, _ = flush(subject, 0.1)
    subject.retell(["c", "stranger"])
    scores, _, states = flush(subject, 0.1)

    assert [s.revision for s in scores] == [first[0].revision + 1]
    assert list(states) == ["c"]


def test_a_poisonous_event_is_found_and_the_others_count() -> None:
    """An event that our own code fails on is handed back with its traceback; the rest of the turn is applied."""
    subject = engine()
    bad = Event("Order Completed", "order", "c", START, value=float("nan"))
    for offset, event in enumerate([order("c", 0), bad, order("d", 0)]):
        assert subject.apply(event, "purchases/0", offset) == APPLIED
    scores, _, _ = flush(subject, 0)

    assert [(p.event, p.source, p.offset) for p in subject.poison] == [(bad, "purchases/0", 1)]
    assert "ValueError" in subject.poison[0].traceback
    assert {s.customer_id: s.features["orders_total"] for s in scores} == {"c": 1.0, "d": 1.0}


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=20))
def test_readable_values_are_the_served_ones(values: list[float]) -> None:
    """The published decimals, cast back to single precision, are the served row bit for bit."""
    row = served(np.array([values]))[0]

    assert readable(row).astype(np.float32).tobytes() == row.tobytes()
