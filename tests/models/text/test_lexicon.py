from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from models.events.types import Conversation, Recording, Turn
from models.text.lexicon import HALF_LIFE_TURNS, MAX_READ_CHARS, ConversationSignals, sentiment, understand
from models.text.words import SUPPORT_WORDS

GOOD, BAD = "Great, it works perfectly now, thanks!", "This is unacceptable, still broken and nobody answers"


def conversation(*turns: Turn | str, **fields: object) -> Conversation:
    """A chat; texts alone are the customer's."""
    spoken = tuple(turn if isinstance(turn, Turn) else Turn("customer", turn) for turn in turns)
    return msgspec.structs.replace(Conversation("c", "chat", turns=spoken), **fields)


@pytest.mark.parametrize(
    "text",
    [
        "I am still waiting for my parcel, it is late",
        "charged twice again",
        "the parcel is overdue and your chat is unresponsive",
        "where is my refund",
        "you overcharged me",
        "another outage, this is unusable",
        "nobody answers, I get the runaround",
    ],
)
def test_complaints_without_swearing_are_negative(text: str) -> None:
    """Support words make plain complaints negative, more so than the general word list does."""
    assert sentiment(text) < -0.15
    assert sentiment(text) < SentimentIntensityAnalyzer().polarity_scores(text)["compound"]


def test_support_words_are_in_range() -> None:
    """Our words are single lower-case tokens with valences on VADER's scale, none of them milder than VADER's own."""
    known = SentimentIntensityAnalyzer().lexicon

    assert len(SUPPORT_WORDS) >= 55
    assert all(abs(valence) > abs(known.get(word, 0.0)) + 0.25 for word, valence in SUPPORT_WORDS.items())
    assert all(word.isalpha() and word.islower() for word in SUPPORT_WORDS)
    assert all(abs(valence) <= 4 for valence in SUPPORT_WORDS.values())


def test_only_the_customer_is_read() -> None:
    """What agents and bots say changes no sentiment and no intent, only the number of turns."""
    alone = understand(conversation(BAD))
    answered = understand(conversation(Turn("agent", GOOD), BAD, Turn("system", "please cancel my subscription")))

    assert msgspec.structs.replace(answered, turns=1) == msgspec.structs.replace(alone, duration_s=answered.duration_s)
    assert answered.turns == 3


def test_later_turns_weigh_more() -> None:
    """The sentiment is the weighted mean with the documented half-life: the end of a conversation counts most."""
    scores = [sentiment(GOOD), sentiment(BAD), sentiment("ok"), sentiment(BAD)]
    weights = [0.5 ** (age / HALF_LIFE_TURNS) for age in (3, 2, 1, 0)]

    signals = understand(conversation(GOOD, BAD, "ok", BAD))

    expected = sum(w * s for w, s in zip(weights, scores, strict=True)) / sum(weights)
    assert signals.sentiment == pytest.approx(expected)
    assert signals.worst == sentiment(BAD)
    assert signals.last_three == pytest.approx((sentiment(BAD) + sentiment("ok") + sentiment(BAD)) / 3)
    assert understand(conversation(BAD, GOOD)).sentiment > understand(conversation(GOOD, BAD)).sentiment


def test_no_customer_text_is_unknown_not_neutral() -> None:
    """A call without a transcript, or with blank turns, has sentiment NaN and says so."""
    for silent in (conversation(), conversation(" ", ""), conversation(Turn("agent", BAD))):
        signals = understand(silent)

        assert not signals.has_text
        assert math.isnan(signals.sentiment)
        assert math.isnan(signals.worst)
        assert math.isnan(signals.last_three)
        assert (signals.cancel_intent, signals.cancel_turns) == (0.0, 0)


def test_cancel_intent_is_the_strongest_and_counted() -> None:
    """The plainest wish of any turn counts, and so does the number of turns that hold one."""
    signals = understand(conversation("I may look elsewhere", "hello", "please cancel my subscription"))

    assert (signals.cancel_intent, signals.cancel_turns) == (1.0, 2)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"started_at": 100.0, "ended_at": 160.0, "recording": Recording("u", 50.0)}, 60.0),
        ({"started_at": 160.0, "ended_at": 100.0}, 0.0),
        ({"started_at": 100.0, "recording": Recording("u", 50.0)}, 50.0),
        ({"turns": (Turn("agent", "a", 5.0), Turn("customer", "b"), Turn("agent", "c", 12.5))}, 7.5),
        ({"turns": (Turn("agent", "a", 5.0),)}, math.nan),
    ],
)
def test_duration_comes_from_the_best_source(fields: dict[str, object], expected: float) -> None:
    """Start and end, else the recording, else the timed turns; unknown is NaN, never 0."""
    assert understand(conversation(**fields)).duration_s == pytest.approx(expected, nan_ok=True)


def test_reading_is_bounded() -> None:
    """Only the newest text up to the limit is read, so that one event cannot hold up the stream."""
    newest = [GOOD[:50].ljust(1000, ".")] * (MAX_READ_CHARS // 1000)

    flooded = understand(conversation(*[BAD * 10] * 500, *newest))

    assert flooded.worst == understand(conversation(*newest)).worst > 0


def test_signals_hold_no_text() -> None:
    """Every field of the signals is a number or a flag, so no word of the customer can be stored by accident."""
    assert {field.type for field in msgspec.structs.fields(ConversationSignals)} == {float, int, bool}


@settings(max_examples=60)
@given(st.lists(st.builds(Turn, st.sampled_from(["customer", "agent", "system"]), st.text(max_size=1500)), max_size=6))
def test_any_conversation_is_understood(turns: list[Turn]) -> None:
    """Arbitrary text never fails, sentiments stay in [-1, 1], and a second reading agrees."""
    signals = understand(conversation(*turns))

    for value in (signals.sentiment, signals.worst, signals.last_three):
        assert -1 <= value <= 1 if signals.has_text else math.isnan(value)
    assert msgspec.json.encode(understand(conversation(*turns))) == msgspec.json.encode(signals)
