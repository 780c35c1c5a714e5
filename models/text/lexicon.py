"""What a conversation says about the customer, by word lists and rules: no training, no weights, no network.

Sentiment is VADER [^1] with words of customer support added: VADER was made for social media and sees nothing wrong
in late, overcharged or waiting. Only the customer's turns count, the later ones more: on rated service dialogues,
weights that double every 4 to 6 customer turns follow the customer's rating better than the plain mean, and much
better than the last turn alone, which is mostly "thanks, bye". English only; other languages come out near 0.

References
----------
[^1]: Hutto, C. & Gilbert, E. (2014). VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media
      Text. ICWSM-14.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import msgspec

from models.events.types import Conversation, Turn
from models.text.intent import cancel_intent
from models.text.vader import analyzer

#: Customer turns over which a turn's weight halves, counted back from the last one.
HALF_LIFE_TURNS: Final = 5.0

#: Characters of the customer's newest turns that are read. Beyond this an event is an attack on the clock.
MAX_READ_CHARS: Final = 100_000

# VADER's cost grows with the square of a text's length, and it was made for sentences.
_WINDOW_CHARS = 600
_COMMON_CHARS = 80

_NAN = math.nan


class ConversationSignals(msgspec.Struct, frozen=True, gc=False):
    """Numbers read from one conversation; never its words.

    Attributes
    ----------
    sentiment
        Weighted mean over the customer's turns, -1 (angry) to 1 (happy); NaN without customer text.
    worst
        Lowest sentiment of a customer's turn; NaN without customer text.
    last_three
        Mean sentiment of the customer's last three turns; NaN without customer text.
    cancel_intent
        Strongest sign that the customer wants to leave, 0 (none) to 1 (asks to cancel).
    cancel_turns
        Customer's turns with any such sign.
    turns
        All turns of the conversation.
    duration_s
        Length in seconds; NaN if the event does not say.
    has_text
        Whether the customer said anything that could be read.
    """

    sentiment: float
    worst: float
    last_three: float
    cancel_intent: float
    cancel_turns: int
    turns: int
    duration_s: float
    has_text: bool


def understand(conversation: Conversation) -> ConversationSignals:
    """Read one conversation. Pure: the same conversation always gives the same signals."""
    texts = _customer_texts(conversation.turns)
    heard = [_common(text) if len(text) <= _COMMON_CHARS else _read(text) for text in texts]
    scores = [score for score, _ in heard]
    intents = [intent for _, intent in heard]
    return ConversationSignals(
        sentiment=_towards_the_end(scores),
        worst=min(scores, default=_NAN),
        last_three=sum(scores[-3:]) / len(scores[-3:]) if scores else _NAN,
        cancel_intent=max(intents, default=0.0),
        cancel_turns=sum(intent > 0 for intent in intents),
        turns=len(conversation.turns),
        duration_s=_duration_s(conversation),
        has_text=bool(texts),
    )


def _read(text: str) -> tuple[float, float]:
    return sentiment(text), cancel_intent(text)


#: "Thanks", "where is my order": the short things are said again and again.
_common = lru_cache(maxsize=8192)(_read)


def sentiment(text: str) -> float:
    """Sentiment of one text, -1 to 1; the mean over windows of 600 characters if it is longer."""
    scores = [analyzer().compound(window) for window in _windows(text)]
    return sum(scores) / len(scores) if scores else 0.0


def _customer_texts(turns: tuple[Turn, ...]) -> list[str]:
    """The customer's non-blank texts in order, cut from the oldest side to `MAX_READ_CHARS`."""
    texts: list[str] = []
    left = MAX_READ_CHARS
    for turn in reversed(turns):
        text = turn.text.strip() if turn.role == "customer" else ""
        if text and left > 0:
            texts.append(text[:left])
            left -= len(text)
    return texts[::-1]


def _windows(text: str) -> list[str]:
    """The text in pieces of at most 600 characters, cut at a space where there is one."""
    windows = []
    while len(text) > _WINDOW_CHARS:
        cut = text.rfind(" ", _WINDOW_CHARS // 2, _WINDOW_CHARS)
        cut = _WINDOW_CHARS if cut < 0 else cut
        windows.append(text[:cut])
        text = text[cut:].lstrip()
    if text:
        windows.append(text)
    return windows


def _towards_the_end(scores: list[float]) -> float:
    if not scores:
        return _NAN
    weights = [math.exp2((i - len(scores) + 1) / HALF_LIFE_TURNS) for i in range(len(scores))]
    return sum(weight * score for weight, score in zip(weights, scores, strict=True)) / sum(weights)


def _duration_s(conversation: Conversation) -> float:
    """Ended minus started, else the recording's length, else from the first to the last timed turn; never negative."""
    if conversation.started_at is not None and conversation.ended_at is not None:
        return max(0.0, conversation.ended_at - conversation.started_at)
    if conversation.recording is not None and conversation.recording.duration_s is not None:
        return conversation.recording.duration_s
    times = [turn.time for turn in conversation.turns if turn.time is not None]
    return max(times) - min(times) if len(times) > 1 else _NAN
