"""The trainer without a broker: strict with what it reads, exact after a restart."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from models.churn.serving import ServingModel
from models.churn.waiting import due_at
from models.events.quarantine import QuarantineRecord
from models.features import FEATURE_VERSION, FEATURES
from models.settings import LabelSettings, Settings, TrainerSettings
from tests.streams.trainer.samples import Subject, encoded, examples, leavers, records, settings_for, topic

SETTINGS = settings_for()
VALUES = encoded(1200)
KEY = b"inactivity-30d"


def core(settings: Settings = SETTINGS) -> Subject:
    return Subject(settings)


def test_every_record_is_learned_or_counted() -> None:
    """Learned, malformed and of other features add up to what was read."""
    subject = core()
    refused = subject.take(records(VALUES), now=0.0)

    assert len(refused) == subject.skipped["malformed"] == 12
    assert subject.skipped["other_features"] == 13
    assert sum(subject.learned.values()) == subject.learner.examples == 1200 - 12 - 13
    assert subject.unpublished == subject.learner.examples


def test_records_at_or_below_the_offset_are_not_learned_again() -> None:
    """The same records a second time change nothing."""
    subject = core()
    subject.take(records(VALUES), now=0.0)
    left = subject.publication()
    subject.take(records(VALUES), now=0.0)

    assert subject.unpublished == 0
    assert topic(left, subject.publication()) == topic(left)
    assert subject.skipped["already_learned"] == subject.offset + 1 == 1200


@pytest.mark.parametrize("cut", [0, 1, 500, 1199])
def test_restored_and_continued_publishes_the_same_bytes(cut: int) -> None:
    """A core restored from its published checkpoint and fed from anywhere before it ends with the same records."""
    undisturbed, first, second = core(), core(), core()
    undisturbed.take(records(VALUES), now=0.0)
    first.take(records(VALUES[:cut]), now=0.0)
    left = first.publication()
    if cut:
        second.go_on(left)
        assert second.unpublished == 0
    second.take(records(VALUES[cut // 2 :], start=cut // 2), now=0.0)

    assert topic(left, second.publication()) == topic(undisturbed.publication())


def test_the_published_model_can_be_served() -> None:
    """The model record passes the scorer's checks and names the last example in it."""
    subject = core()
    subject.take(records(VALUES), now=0.0)
    model = ServingModel.from_record(topic(subject.publication())[KEY])
    model.require(FEATURES, FEATURE_VERSION)

    assert (model.champion, model.record.offset) == ("logistic", 1199)
    assert model.record.examples == subject.learner.examples


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (None, "truncated"),
        (b"", "truncated"),
        (b"\xff", "malformed"),
        (b"[" * 50_000, "Expected `object`"),
        (b'{"x":' + b"[" * 50_000, "recursion"),
        (b"{}", "missing required field"),
    ],
)
def test_bytes_that_are_no_example_go_to_quarantine(value: bytes | None, detail: str) -> None:
    """The quarantine record says where it was read, why it was refused, and holds the bytes."""
    subject = core()
    [refused] = subject.take(records([value], start=7), now=1.7e9)
    assert refused.value is not None
    record = msgspec.json.decode(refused.value, type=QuarantineRecord)

    assert (record.reason, record.topic, record.offset) == ("malformed_example", "examples", 7)
    assert record.raw_value() == value
    assert detail in record.detail


@pytest.mark.parametrize(
    "change",
    [
        {"label": 2},
        {"label": "1"},
        {"probability": 1.5},
        {"rule_probability": -0.1},
        {"features": (1.0,)},
        {"features": (1e39,) + (0.0,) * (len(FEATURES) - 1)},
        {"features": ("1",) * len(FEATURES)},
        {"as_of": None},
    ],
)
def test_an_example_that_contradicts_itself_is_malformed(change: dict[str, Any]) -> None:
    """Wrong types, labels, probabilities, lengths, or a feature beyond 32-bit floats: quarantined, nothing learned."""
    subject = core()
    plain = msgspec.to_builtins(examples(1)[0]) | change
    refused = subject.take(records([msgspec.json.encode(plain)]), now=0.0)

    assert len(refused) == subject.skipped["malformed"] == 1
    assert subject.learner.examples == 0


def test_an_example_of_another_horizon_is_counted_not_learned() -> None:
    """A label of another horizon means something else; it is skipped under its own reason."""
    subject = core()
    other = msgspec.structs.replace(examples(1)[0], horizon_days=60.0)

    assert subject.take(records([msgspec.json.encode(other)]), now=0.0) == []
    assert subject.skipped == {"other_label": 1}


CANCELLATION = settings_for(label=LabelSettings(kind="cancellation", horizon_days=30))


YOUNG = leavers(1500)


def test_early_positives_wait_for_the_end_of_their_horizon() -> None:
    """Whenever one looks, what was learned is complete: every prediction up to a time, of both kinds."""
    subject, most = core(CANCELLATION), 0
    values = [msgspec.json.encode(one) for one in YOUNG]
    for start in range(0, len(values), 50):
        subject.take(records(values[start : start + 50], start=start), now=0.0)
        complete = [one for one in YOUNG if due_at(one) <= subject.waiting.clock]

        assert subject.learner.examples == len(complete)
        assert subject.learner.positives == sum(one.label for one in complete)
        most = max(most, len(subject.waiting))
    assert most > 100
    assert subject.learner.examples + len(subject.waiting) == len(YOUNG)


@pytest.mark.parametrize("cut", [1, 300, 700, 1400])
def test_who_waited_is_read_again_after_a_restart(cut: int) -> None:
    """Restored in the middle, with the waiting ones read again, the core ends with the undisturbed one's bytes."""
    read = records([msgspec.json.encode(one) for one in YOUNG])
    undisturbed, first, second = core(CANCELLATION), core(CANCELLATION), core(CANCELLATION)
    undisturbed.take(read, now=0.0)
    first.take(read[:cut], now=0.0)
    left = first.publication()
    second.go_on(left)
    second.put_back(read[second.read_back_from :])
    second.all_put_back()
    second.take(read[cut // 2 :], now=0.0)

    assert second.skipped == {"already_learned": cut - cut // 2}
    assert topic(left, second.publication()) == topic(undisturbed.publication())


def test_waiting_examples_that_retention_took_are_counted() -> None:
    """What can't be read again is told, not passed over in silence."""
    read = records([msgspec.json.encode(one) for one in YOUNG])
    first, second = core(CANCELLATION), core(CANCELLATION)
    first.take(read[:400], now=0.0)
    waited = len(first.waiting)
    left = first.publication()
    second.go_on(left)
    second.all_put_back()

    assert waited > 0
    assert second.skipped == {"lost_waiting": waited}


def test_no_more_than_allowed_wait() -> None:
    """Above the limit the one that is due next is learned early, and a restart still knows who was learned."""
    settings = msgspec.structs.replace(CANCELLATION, trainer=TrainerSettings(max_waiting=5))
    read = records([msgspec.json.encode(one) for one in YOUNG])
    undisturbed, first, second = core(settings), core(settings), core(settings)
    undisturbed.take(read, now=0.0)
    first.take(read[:500], now=0.0)
    left = first.publication()
    second.go_on(left)
    second.put_back(read[second.read_back_from :])
    second.all_put_back()
    second.take(read[500:], now=0.0)

    assert len(first.waiting) <= 5
    assert undisturbed.waiting.early > 0
    assert undisturbed.learner.examples + len(undisturbed.waiting) == len(YOUNG)
    assert second.skipped == {}
    assert topic(left, second.publication()) == topic(undisturbed.publication())


def test_an_example_that_was_written_twice_is_learned_once() -> None:
    """A worker that was killed writes some examples again, under new offsets; also a restarted trainer notices."""
    values = [msgspec.json.encode(one) for one in examples(1300)]
    once, twice = core(), core()
    once.take(records(values[:700]), now=0.0)
    twice.take(records(values[:700]), now=0.0)
    left = twice.publication()
    twice = core()
    twice.go_on(left)
    twice.put_back(records(values[:700])[twice.read_back_from :])
    twice.take(records([*values[600:700], *values[650:700]], start=700), now=0.0)

    assert twice.skipped == {"duplicate": 150}
    assert twice.learner.checkpoint() == once.learner.checkpoint()


def test_a_repeated_example_does_not_wait_twice_after_a_restart() -> None:
    """Of two records of one early positive only the first waits, also when both are read again."""
    early = next(one for one in YOUNG if one.label)
    read = records([msgspec.json.encode(one) for one in (early, early, YOUNG[0])])
    first, second = core(CANCELLATION), core(CANCELLATION)
    first.take(read, now=0.0)
    left = first.publication()
    second.go_on(left)
    second.put_back(read)
    second.all_put_back()

    assert len(second.waiting) == len(first.waiting)
    assert second.skipped == {}


def test_a_waiting_example_is_recognised_however_late_it_is_repeated() -> None:
    """A record repeated far behind the remembered ones does not wait beside its twin, nor is it missed on restart."""
    early = next(one for one in YOUNG if one.label)
    others = [
        msgspec.structs.replace(one, as_of=early.as_of - 40 * 86_400, matured_at=early.as_of, label=0)
        for one in examples(1200, seed=5)
    ]
    others = [msgspec.structs.replace(one, example_id=f"other-{one.example_id}") for one in others]
    read = records([msgspec.json.encode(one) for one in (early, *others, early)])
    first, second = core(CANCELLATION), core(CANCELLATION)
    first.take(read, now=0.0)
    left = first.publication()
    second.go_on(left)
    second.put_back(read)
    second.all_put_back()

    assert first.skipped == {"duplicate": 1}
    assert len(first.waiting) == len(second.waiting) == 1
    assert second.skipped == {}


def test_examples_that_wait_are_not_stored() -> None:
    """A checkpoint is about as large with a hundred waiting examples as with none, and below 50 kB."""
    young = YOUNG[:700]
    read = records([msgspec.json.encode(one) for one in young])
    waiting, none = core(CANCELLATION), core(CANCELLATION)
    waiting.take(read, now=0.0)
    none.take([record for record, one in zip(read, young, strict=True) if not one.label], now=0.0)
    sizes = [len(topic(subject.publication())[b"cancellation-30d:checkpoint"]) for subject in (waiting, none)]

    assert len(waiting.waiting) > 100
    assert len(none.waiting) == 0
    assert max(sizes) < 50_000
    assert abs(sizes[0] - sizes[1]) < 50 * len(waiting.waiting)


def test_what_is_above_a_lowered_limit_is_released() -> None:
    """Started again with a lower limit, the trainer keeps to it from the first example on, and counts who was early."""
    read = records([msgspec.json.encode(one) for one in YOUNG])
    first = core(CANCELLATION)
    first.take(read[:700], now=0.0)
    second = core(msgspec.structs.replace(CANCELLATION, trainer=TrainerSettings(max_waiting=20)))
    left = first.publication()
    second.go_on(left)
    second.put_back(read[:700])
    second.take(read[700:701], now=0.0)

    assert len(first.waiting) > 100
    assert len(second.waiting) == 20
    assert 0 < second.waiting.early <= len(first.waiting) - 19
    assert second.learner.examples + 20 == 701


def test_the_checkpoint_that_got_furthest_counts() -> None:
    """A checkpoint that a stopped trainer writes late does not set the new owner back."""
    read = records(encoded(900))
    old, new, restored = core(), core(), core()
    old.take(read[:300], now=0.0)
    new.take(read[:700], now=0.0)
    restored.go_on(new.publication(), old.publication())

    assert restored.offset == 699
    assert restored.learner.checkpoint() == new.learner.checkpoint()
