from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cache

import pytest

from models.events.decode import decode
from models.events.types import Event, Rejection
from models.settings import EventSettings
from models.simulator import InvalidSimulatorSettings, SimulatedEvent, SimulatedTruth, SimulatorSettings, simulate

SMALL = SimulatorSettings(customers=300, days=60, seed=3)
NOW = SMALL.start_time + 400 * 86_400
EXPECTED_NAMES = {
    "page", "identify", "Products Searched", "Product Viewed", "Product Added", "Checkout Started", "Order Completed",
    "Order Refunded", "Subscription Started", "Subscription Renewed", "Subscription Cancelled", "Payment Failed",
    "Conversation Completed",
}  # fmt: skip


@dataclass(frozen=True)
class Told:
    records: tuple[SimulatedEvent, ...]
    decoded: tuple[Event | Rejection, ...]

    def named(self, name: str) -> list[Event]:
        return [event for event in self.decoded if isinstance(event, Event) and event.name == name]


@cache
def told(settings: SimulatorSettings = SMALL) -> Told:
    records = tuple(simulate(settings))
    events = EventSettings()
    return Told(records, tuple(decode(record.raw, record.topic, NOW, events) for record in records))


def without_noise(**changes: object) -> SimulatorSettings:
    plain = {"customers": 60, "days": 40, "seed": 3, "duplicate_rate": 0.0, "late_rate": 0.0, "hostile_rate": 0.0}
    return SimulatorSettings(**(plain | changes))


def test_the_same_settings_tell_the_same_events_and_another_seed_tells_others() -> None:
    """A simulation is a function of its settings."""
    first = list(simulate(without_noise()))

    assert first == list(simulate(without_noise()))
    assert first != list(simulate(without_noise(seed=4)))


def test_every_event_decodes_to_what_the_simulator_meant() -> None:
    """Topic, customer and time that the decoder reads are those that the simulator sent."""
    quiet = told(without_noise(skewed_rate=0.3))

    for record, event in zip(quiet.records, quiet.decoded, strict=True):
        assert isinstance(event, Event), event
        assert (event.customer_id, event.time) == (record.key, pytest.approx(record.time, abs=1e-3))


def test_all_kinds_of_events_occur() -> None:
    """The shop uses every name that it is meant to use."""
    names = {event.name for event in told().decoded if isinstance(event, Event)}

    assert names == EXPECTED_NAMES


def test_hostile_records_are_extra_and_all_refused() -> None:
    """Broken records come on top of the good ones, and each is rejected by the decoder for one of several reasons."""
    clean = Counter(record.raw for record in simulate(without_noise()))
    noisy = Counter(record.raw for record in simulate(without_noise(hostile_rate=0.2)))
    broken = noisy - clean

    assert not clean - noisy
    assert broken.total() > 200
    results = [decode(raw, "clickstream", NOW, EventSettings()) for raw in broken]
    assert all(isinstance(result, Rejection) for result in results)
    assert len({result.reason for result in results if isinstance(result, Rejection)}) >= 6


def test_duplicates_are_the_same_bytes_twice() -> None:
    """A retry repeats the record, messageId included, and nothing else changes."""
    once = Counter(record.raw for record in simulate(without_noise()))
    twice = Counter(record.raw for record in simulate(without_noise(duplicate_rate=0.1)))

    assert set(once) == set(twice)
    assert set(twice.values()) == {1, 2}
    assert sum(count == 2 for count in twice.values()) / len(twice) == pytest.approx(0.1, abs=0.02)


def test_events_come_in_time_order_but_for_the_late_ones() -> None:
    """Without late events time hardly runs backwards; with them it does, by no more than a day and a half."""
    quiet = [record.time for record in simulate(without_noise())]
    late = [record.time for record in simulate(without_noise(late_rate=0.05))]

    assert _largest_step_back(quiet) < 3.0
    assert 3600.0 < _largest_step_back(late) <= 36 * 3600 + 3.0


def test_nobody_acts_after_cancelling_unless_they_return() -> None:
    """A customer who left does not visit, pay or talk until a new subscription starts."""
    settings = without_noise(customers=400, days=80)
    truth = SimulatedTruth(settings)
    cancelled = {record.key: record.time for record in simulate(settings) if b'"Subscription Cancelled"' in record.raw}

    assert len(cancelled) > 20
    for record in simulate(settings):
        gone = record.key in cancelled and not truth.subscribed(record.key, record.time)
        # The refund of a conversation may be booked after the customer has gone.
        assert not gone or record.time <= truth.departures(record.key)[-1] or b"Order Refunded" in record.raw


def test_the_truth_knows_exactly_the_cancellations_that_were_told() -> None:
    """Times of `Subscription Cancelled` are the truth's departures."""
    truth = SimulatedTruth(SMALL)
    cancelled: dict[str, set[float]] = {}
    for event in told().named("Subscription Cancelled"):
        cancelled.setdefault(event.customer_id, set()).add(round(event.time, 3))

    assert cancelled == {key: set(truth.departures(key)) for key in truth.customer_ids if truth.departures(key)}


def test_conversations_have_varied_words_and_sound_as_they_end() -> None:
    """Transcripts alternate between two speakers, hardly ever repeat, and are rated lower when unresolved."""
    talks = [event.conversation for event in told().named("Conversation Completed")]
    texts = Counter(tuple(turn.text for turn in talk.turns) for talk in talks if talk)
    good, bad = ([t.rating for t in talks if t and t.rating and t.resolved is resolved] for resolved in (True, False))

    assert len(talks) > 150
    assert len(texts) / len(talks) > 0.95
    assert {talk.channel for talk in talks if talk} == {"chat", "call"}
    for talk in talks:
        assert talk is not None
        assert len(talk.turns) >= 4
        assert [turn.role for turn in talk.turns[:2]] == ["agent", "customer"]
        assert "{" not in "".join(turn.text for turn in talk.turns)
        assert (talk.recording is not None) == (talk.channel == "call")
    assert sum(bad) / len(bad) + 0.5 < sum(good) / len(good)


def test_words_can_be_left_out() -> None:
    """Without transcripts the same conversations are told, without their turns."""
    silent = told(without_noise(transcripts=False)).named("Conversation Completed")
    spoken = told(without_noise()).named("Conversation Completed")

    assert [event.reference for event in silent] == [event.reference for event in spoken]
    assert all(event.conversation and not event.conversation.turns for event in silent)


def test_envelopes_are_plain_json_with_the_public_fields() -> None:
    """Each record is a JSON object as Segment and RudderStack write it."""
    record = next(record for record in told().records if b'"Order Completed"' in record.raw)
    plain = json.loads(record.raw)

    assert {"type", "event", "messageId", "userId", "anonymousId", "context", "properties"} <= set(plain)
    assert {"order_id", "total", "revenue", "discount", "currency", "products"} <= set(plain["properties"])


def test_impossible_settings_are_all_named_before_the_first_event() -> None:
    """One error lists every setting outside its limits."""
    with pytest.raises(InvalidSimulatorSettings, match=r"customers is 0.*late_rate is 1.5.*start is 'soon'"):
        simulate(SimulatorSettings(customers=0, late_rate=1.5, start="soon"))


def _largest_step_back(times: list[float]) -> float:
    newest, largest = times[0], 0.0
    for time in times:
        largest = max(largest, newest - time)
        newest = max(newest, time)
    return largest
