from __future__ import annotations

import json
from typing import Any

import pytest

from models.events.conversation import MAX_TURN_CHARS, MAX_TURNS
from models.events.decode import decode
from models.events.types import Conversation, Event, Recording, Rejection, Turn
from models.settings import EventSettings


def decode_conversation(**properties: Any) -> Event | Rejection:
    usual = {"conversation_id": "c-1", "channel": "chat"} | properties
    event = {"type": "track", "event": "Conversation Completed", "userId": "u", "timestamp": 1736071200}
    raw = json.dumps(event | {"properties": usual}).encode()
    return decode(raw, "contact_center", 1767225600.0, EventSettings(max_bytes=10_000_000))


def conversation_of(**properties: Any) -> Conversation:
    decoded = decode_conversation(**properties)
    assert isinstance(decoded, Event), decoded
    assert decoded.conversation is not None
    return decoded.conversation


def test_conversation_carries_all_its_facts() -> None:
    """Every field of the contract arrives, typed and in seconds."""
    conversation = conversation_of(
        channel="call",
        started_at="2025-01-05T10:00:00Z",
        ended_at=1736071320000,
        agent=17,
        queue="billing",
        turns=[{"role": "agent", "text": "Hello", "time": "2025-01-05T10:00:05Z"}, {"role": "customer", "text": "Hi"}],
        recording={"uri": "s3://calls/1.wav", "duration_s": "120"},
        resolved=False,
        rating=2,
    )

    assert conversation == Conversation(
        conversation_id="c-1",
        channel="call",
        started_at=1736071200.0,
        ended_at=1736071320.0,
        agent="17",
        queue="billing",
        turns=(Turn("agent", "Hello", 1736071205.0), Turn("customer", "Hi")),
        recording=Recording("s3://calls/1.wav", 120.0),
        resolved=False,
        rating=2.0,
    )


@pytest.mark.parametrize(
    ("role", "normal"),
    [
        *[(role, "customer") for role in ("customer", "CUSTOMER", "user", "end_user", "visitor", " Caller ")],
        *[(role, "agent") for role in ("agent", "AGENT", "admin", "operator", "supervisor")],
        *[(role, "system") for role in ("system", "bot", "custom_bot", "trigger", "", None)],
    ],
)
def test_roles_of_all_vendors_become_three(role: str | None, normal: str) -> None:
    """Who speaks is the customer, an agent, or the system; a role that nobody knows is never taken for the customer."""
    assert conversation_of(turns=[{"role": role, "text": "x"}]).turns == (Turn(normal, "x"),)


@pytest.mark.parametrize(
    ("channel", "normal"), [("VOICE", "call"), ("phone", "call"), ("messaging", "chat"), ("E-Mail", "email")]
)
def test_channels_of_all_vendors_become_three(channel: str, normal: str) -> None:
    """Common names of chat, call and e-mail are understood."""
    assert conversation_of(channel=channel).channel == normal


def test_transcript_is_another_name_for_turns() -> None:
    """Both names are read; `turns` is taken where both are given, even if it is empty."""
    turns = [{"role": "user", "text": "x"}]

    assert conversation_of(transcript=turns) == conversation_of(turns=turns)
    assert conversation_of(transcript=turns, turns=[]).turns == ()


def test_long_transcripts_are_cut_to_their_newest_turns() -> None:
    """Beyond the limits the oldest turns and the ends of overlong turns are dropped, nothing else."""
    turns = [{"role": "user", "text": f"{i}"} for i in range(MAX_TURNS + 5)] + [{"role": "user", "text": "y" * 30_000}]

    kept = conversation_of(turns=turns).turns

    assert len(kept) == MAX_TURNS
    assert kept[0].text == "6"
    assert kept[-1].text == "y" * MAX_TURN_CHARS
