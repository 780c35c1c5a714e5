"""The engine of one partition: guards, emission, silence, maturity, and states that survive encoding."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.churn.serving import ServingModel
from models.engine import APPLIED, DUPLICATE, REPLAYED, Engine, readable, served
from models.events.types import Event
from models.features import FEATURE_NAMES, FEATURE_VERSION, FEATURES, feature_vector
from models.features.summary import DAY_S
from models.records import Example, Score
from models.settings import LabelSettings, ScoreSettings, Settings
from models.state import CustomerState, StateError, decode_state, encode_state

START = 1_735_689_600.0
SETTINGS = Settings(label=LabelSettings(horizon_days=10, snapshot_every_days=5), score=ScoreSettings(min_change=0.05))


def engine(settings: Settings = SETTINGS) -> Engine:
    return Engine(settings, ServingModel.initial(FEATURES, FEATURE_VERSION, settings.label))


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
    state = subject.customer("c")
    assert state is not None
    assert state.summaries["purchases"].totals[0] == 2


def test_a_producers_retry_is_applied_once() -> None:
    """The same message id under another offset changes nothing but the offset."""
    subject = engine()
    subject.apply(order("c", 0, "m1"), "purchases/0", 0)

    assert subject.apply(order("c", 0, "m1"), "purchases/0", 1) == DUPLICATE
    state = subject.customer("c")
    assert state is not None
    assert state.summaries["purchases"].totals[0] == 1
    assert state.offsets == {"purchases/0": 1}


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
    assert {s.customer_id: encode_state(s) for s in restored.customers()} == states


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
    published = [np.nan if v is None else v for v in scores[0].features.values()]
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
    state = subject.customer("c")

    assert state is not None
    times = [snapshot.as_of for snapshot in state.pending]
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
    flush(subject, 61)
    for state in subject.customers():
        back = decode_state(encode_state(state))

        assert encode_state(back) == encode_state(state)
        assert feature_vector(back.summaries, START) == pytest.approx(
            feature_vector(state.summaries, START), nan_ok=True, abs=0
        )


@pytest.mark.parametrize("raw", [b"", b"\x01", b"\x07" + bytes(40), encode_state(CustomerState("c"))[:20]])
def test_foreign_bytes_are_refused(raw: bytes) -> None:
    """Bytes that are no state raise StateError, never something else."""
    with pytest.raises(StateError):
        decode_state(raw)


def test_a_state_of_another_layout_is_refused_by_name() -> None:
    """When a group keeps other summaries than before, old states are not misread: the error says what to do."""
    subject = engine()
    subject.apply(order("c", 0), "purchases/0", 0)
    state = subject.customer("c")
    assert state is not None
    state.summaries["purchases"].totals.append(0)

    with pytest.raises(StateError, match="customer 'c' was kept with other summaries of purchases; allowed: the same"):
        decode_state(encode_state(state))


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=20))
def test_readable_values_are_the_served_ones(values: list[float]) -> None:
    """The published decimals, cast back to single precision, are the served row bit for bit."""
    row = served(np.array([values]))[0]

    assert readable(row).astype(np.float32).tobytes() == row.tobytes()
