"""What the topics should hold in the end, worked out from the story alone, in one pass and without any broker."""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter, defaultdict

import msgspec

from app.chaos.story import Record, Story
from models.churn.serving import ServingModel
from models.engine import Engine
from models.events.decode import decode
from models.events.types import Event
from models.features import FEATURE_NAMES, FEATURE_VERSION, FEATURES
from models.settings import Settings

_SOURCE = "story/0"
_TOTAL = FEATURE_NAMES.index("events_total")


class Expected(msgspec.Struct, kw_only=True):
    """The truth about one story.

    `sent` counts records by digest, `broken` holds the digests of those that are no events. `features` are vectors as
    of `now` (epoch seconds), `applied` the events among them that count as activity. `leaves` are the times of
    events that decide labels. `repeats` counts records whose message was sent before.
    """

    now: float
    sent: dict[bytes, int]
    broken: set[bytes]
    features: dict[str, list[float]]
    applied: dict[str, int]
    leaves: dict[str, list[float]]
    valid: int
    repeats: int


def expect(story: Story, settings: Settings) -> Expected:
    """Hear the story again.

    Raises
    ------
    ValueError
        Story and decoder disagree on what a record is: then no run can be judged.
    """
    engine = Engine(settings, ServingModel.initial(FEATURES, FEATURE_VERSION, settings.label), (_SOURCE,))
    sent, broken, leaves = Counter[bytes](), set[bytes](), defaultdict[str, list[float]](list)
    valid = repeats = 0
    newest = -math.inf
    for record in story.records():
        sent[digest(record.raw)] += 1
        if not record.valid:
            broken.add(digest(record.raw))
            continue
        if record.repeat:
            repeats += 1
            continue
        event = _decoded(record, settings)
        valid += 1
        engine.apply(event, _SOURCE, valid)
        newest = max(newest, event.time)
        if event.name in settings.label.cancellation_events:
            leaves[event.customer_id].append(event.time)
    # Later than every clock of the run, so that nothing that was dropped for its age is missed in any of the two.
    now = newest + 1.0
    features = engine.features(engine.known, now)
    return Expected(
        now=now, sent=dict(sent), broken=broken, features=features,
        applied={customer_id: int(row[_TOTAL]) for customer_id, row in features.items()},
        leaves=dict(leaves), valid=valid, repeats=repeats,
    )  # fmt: skip


def digest(raw: bytes | None) -> bytes:
    """Short for a record's value."""
    return hashlib.blake2b(raw or b"", digest_size=12).digest()


def _decoded(record: Record, settings: Settings) -> Event:
    event = decode(record.raw, record.topic, time.time(), settings.events)
    if not isinstance(event, Event) or (event.customer_id, event.message_id) != (record.customer_id, record.message_id):
        raise ValueError(f"cannot judge by a story that the decoder reads otherwise: {record.raw[:200]!r} is {event}")
    return event
