from __future__ import annotations

import json

import pytest

from models.events.catalog import CATALOG
from models.events.decode import REASONS, decode
from models.events.types import Event, Rejection
from models.settings import EventSettings
from tests.corpus.hostile import DUPLICATE, HOSTILE, PROCESSED, HostileEvent

NOW = 1767225600.0  # 2026-01-01


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_each_hostile_event_has_its_outcome(hostile: HostileEvent) -> None:
    """Every entry of the corpus becomes its customer's event, or a rejection with the expected reason."""
    outcome = decode(hostile.raw, hostile.topic, NOW, EventSettings())

    if hostile.expected in (PROCESSED, DUPLICATE):
        assert isinstance(outcome, Event), outcome
        assert outcome.customer_id == hostile.customer_id
    else:
        assert isinstance(outcome, Rejection), outcome
        assert outcome.reason == hostile.expected
        assert 0 < len(outcome.detail) < 400
        assert outcome.detail.isprintable()


def test_corpus_covers_every_reason() -> None:
    """The corpus shows every reason that bytes alone can cause, at least once, under unique names."""
    shown = {hostile.expected for hostile in HOSTILE} - {PROCESSED, DUPLICATE}

    assert shown == set(REASONS) - {"internal_error", "late"}
    assert len({hostile.name for hostile in HOSTILE}) == len(HOSTILE) >= 36


def test_topic_rerouted_takes_every_event() -> None:
    """What a public topic accepted is accepted once more on the internal topic, and unknown topics take nothing."""
    for name, spec in CATALOG.items():
        call = {"type": name} if name.islower() else {"type": "track", "event": name}
        properties = {"conversation_id": "c", "channel": "call"}
        raw = json.dumps(call | {"userId": "u", "timestamp": 1736071200, "properties": properties}).encode()
        outcomes = [decode(raw, topic, NOW, EventSettings()) for topic in (spec.topic, "rerouted", "scores")]

        assert isinstance(outcomes[0], Event), outcomes[0]
        assert outcomes[0] == outcomes[1]
        assert isinstance(outcomes[2], Rejection)
        assert outcomes[2].reason == "wrong_topic"
