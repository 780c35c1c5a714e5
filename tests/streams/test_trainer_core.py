"""The trainer without a broker: strict with what it reads, exact after a restart."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from models.churn.serving import ServingModel
from models.events.quarantine import QuarantineRecord
from models.features import FEATURE_VERSION, FEATURES
from models.settings import LabelSettings, Settings
from streams.trainer_core import TrainerCore
from tests.streams.trainer_samples import encoded, examples, settings_for

SETTINGS = settings_for()
VALUES = encoded(1200)


def records(values: list[bytes | None], start: int = 0) -> list[Any]:
    return [
        SimpleNamespace(offset=start + i, partition=0, key=b"c", value=value, timestamp=0)
        for i, value in enumerate(values)
    ]


def core(settings: Settings = SETTINGS) -> TrainerCore:
    return TrainerCore(settings, FEATURES, FEATURE_VERSION)


def published(subject: TrainerCore) -> tuple[bytes, bytes]:
    checkpoint, model = subject.publication()
    assert checkpoint.value is not None
    assert model.value is not None
    assert (checkpoint.key, model.key) == (b"inactivity-30d:checkpoint", b"inactivity-30d")
    return checkpoint.value, model.value


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
    before = published(subject)
    subject.take(records(VALUES), now=0.0)

    assert published(subject) == before
    assert subject.skipped["already_learned"] == subject.offset + 1 == 1200


@pytest.mark.parametrize("cut", [0, 1, 500, 1199])
def test_restored_and_continued_publishes_the_same_bytes(cut: int) -> None:
    """A core restored from its published checkpoint and fed from anywhere before it ends with the same records."""
    undisturbed, first, second = core(), core(), core()
    undisturbed.take(records(VALUES), now=0.0)
    first.take(records(VALUES[:cut]), now=0.0)
    if cut:
        checkpoint, model = published(first)
        second.restore([checkpoint], model)
        assert second.unpublished == 0
    second.take(records(VALUES[cut // 2 :], start=cut // 2), now=0.0)

    assert published(second) == published(undisturbed)


def test_the_published_model_can_be_served() -> None:
    """The model record passes the scorer's checks and names the last example in it."""
    subject = core()
    subject.take(records(VALUES), now=0.0)
    model = ServingModel.from_record(published(subject)[1])
    model.require(FEATURES, FEATURE_VERSION)

    assert (model.source, model.record.offset) == ("logistic", 1199)
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


def test_positives_before_the_first_negative_are_counted_not_learned() -> None:
    """What the learner leaves alone is told under its own reason and moves no offset."""
    subject = core()
    positive = msgspec.json.encode(msgspec.structs.replace(examples(1)[0], label=1))
    subject.take(records([positive] * 3), now=0.0)

    assert subject.skipped == {"before_first_negative": 3}
    assert (subject.offset, subject.unpublished) == (-1, 0)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[:-1],
        lambda raw: raw.replace(b'"offset":299', b'"offset":-5'),
        lambda raw: raw.replace(b'"format":1', b'"format":9', 1),
        lambda raw: raw.replace(b'"examples":', b'"examples":1'),
        lambda raw: b'{"format":1,"offset":1,"sha256":"","state":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    ],
)
def test_a_spoilt_checkpoint_is_passed_over_for_an_older_one(spoil: Any) -> None:
    """The newest checkpoint that passes its checks is used; without any, learning starts fresh."""
    subject = core()
    subject.take(records(VALUES[:200]), now=0.0)
    good, _ = published(subject)
    subject.take(records(VALUES[200:300], start=200), now=0.0)
    spoilt = spoil(published(subject)[0])
    with_older, alone = core(), core()
    with_older.restore([good, spoilt], None)
    alone.restore([spoilt], None)

    assert with_older.offset == 199
    assert (alone.offset, alone.learner.examples) == (-1, 0)


def test_a_missing_model_is_published_again() -> None:
    """When the newest model is not what the checkpoint stands for, it is due even without new examples."""
    subject, after = core(), core()
    subject.take(records(VALUES[:200]), now=0.0)
    checkpoint, model = published(subject)
    after.restore([checkpoint], None)

    assert after.unpublished > 0
    assert published(after) == (checkpoint, model)


def test_each_label_has_keys_of_its_own() -> None:
    """Trainers of two label definitions can share the topic."""
    other = core(Settings(label=LabelSettings(kind="cancellation", horizon_days=14)))

    assert (other.key, other.checkpoint_key) == ("cancellation-14d", "cancellation-14d:checkpoint")
