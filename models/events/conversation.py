"""Reading `Conversation Completed`: roles, channels and times in one form, transcripts within limits.

A transcript beyond the limits is cut, not refused: its newest turns say most about the customer, and the rest of
the event is as good as ever.
"""

from __future__ import annotations

from typing import Final

from models.events.clock import parse_time
from models.events.fields import identifier, number
from models.events.reasons import Refused, quoted
from models.events.types import Conversation, Recording, Turn
from models.events.wire import ConversationProperties, RecordingProperties, Time, TurnProperties

#: The newest turns of a transcript that are kept.
MAX_TURNS: Final = 2000

#: Characters of a turn that are kept, from its start.
MAX_TURN_CHARS: Final = 20_000

CUSTOMER: Final = "customer"
AGENT: Final = "agent"
SYSTEM: Final = "system"

_ROLES: Final[dict[str, str]] = {
    "customer": CUSTOMER,
    "user": CUSTOMER,
    "end_user": CUSTOMER,
    "end-user": CUSTOMER,
    "visitor": CUSTOMER,
    "caller": CUSTOMER,
    "external": CUSTOMER,
    "agent": AGENT,
    "admin": AGENT,
    "operator": AGENT,
    "supervisor": AGENT,
    "internal": AGENT,
}

_CHANNELS: Final[dict[str, str]] = {
    "chat": "chat",
    "messaging": "chat",
    "message": "chat",
    "call": "call",
    "voice": "call",
    "phone": "call",
    "email": "email",
    "e-mail": "email",
    "mail": "email",
}


def read_conversation(properties: ConversationProperties) -> Conversation:
    """The conversation of the properties.

    Raises
    ------
    Refused
        `bad_conversation`, `bad_time`, `bad_number`, `too_long` or `bad_id`.
    """
    conversation_id = identifier(properties.conversation_id, "properties.conversation_id")
    if conversation_id is None:
        raise Refused("bad_conversation", "properties.conversation_id is missing")
    turns = properties.turns if properties.turns is not None else properties.transcript or ()
    return Conversation(
        conversation_id=conversation_id,
        channel=_channel(properties.channel),
        started_at=_time(properties.started_at, "properties.started_at"),
        ended_at=_time(properties.ended_at, "properties.ended_at"),
        agent=identifier(properties.agent, "properties.agent"),
        queue=identifier(properties.queue, "properties.queue"),
        turns=tuple(_turn(turn) for turn in turns[-MAX_TURNS:]),
        recording=_recording(properties.recording),
        resolved=properties.resolved,
        rating=number(properties.rating, "properties.rating"),
    )


def _channel(channel: str | None) -> str:
    known = _CHANNELS.get(channel.strip().lower()) if channel else None
    if known is None:
        shown = "missing" if channel is None else quoted(channel)
        raise Refused("bad_conversation", f"properties.channel is {shown} (allowed: chat, call, email)")
    return known


def _turn(turn: TurnProperties) -> Turn:
    role = _ROLES.get(turn.role.strip().lower(), SYSTEM) if turn.role else SYSTEM
    return Turn(role, (turn.text or "")[:MAX_TURN_CHARS], _time(turn.time, "properties.turns[].time"))


def _recording(recording: RecordingProperties | None) -> Recording | None:
    if recording is None:
        return None
    return Recording(recording.uri, number(recording.duration_s, "properties.recording.duration_s"))


def _time(value: Time, field: str) -> float | None:
    return None if value is None else parse_time(value, field)
