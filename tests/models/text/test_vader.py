"""Our VADER against the library's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import BOOSTER_DICT, NEGATE, SPECIAL_CASES, SentimentIntensityAnalyzer

from models.text.vader import analyzer
from models.text.words import SUPPORT_WORDS

_library = SentimentIntensityAnalyzer()
_library.lexicon.update(SUPPORT_WORDS)
_FELT = [*sorted(_library.lexicon)[::40], "no", "good", "bad", "kind", "great", "hate", "late", "shit", "bomb", ":)"]
_WORDS = [
    *_FELT, *_FELT, *NEGATE, *BOOSTER_DICT, *SPECIAL_CASES, "never", "so", "this", "without", "doubt", "least", "at",
    "very", "kind of", "but", "or", "nor", "the", "order", "a", "isn't it", "yeah right", "❤", "😁", "café",
]  # fmt: skip
_ENDS = ("", "", "", "!", "?", "...", "!!", "??", ",")
words = st.builds(
    lambda word, end, shout: (word.upper() if shout else word) + end,
    st.sampled_from(_WORDS), st.sampled_from(_ENDS), st.booleans(),
)  # fmt: skip


@given(st.lists(words, max_size=14), st.sampled_from(" \t\n"))
def test_any_text_has_the_librarys_compound_score(said: list[str], space: str) -> None:
    """Leaving out what cannot matter changes no score, whatever words come together."""
    text = space.join(said)

    assert analyzer().compound(text) == _library.polarity_scores(text)["compound"]


@given(st.text(max_size=60))
def test_any_characters_have_the_librarys_compound_score(text: str) -> None:
    """Texts that are no words at all are scored as by the library."""
    assert analyzer().compound(text) == _library.polarity_scores(text)["compound"]


@pytest.mark.parametrize(
    "text",
    [
        "it was never this good",
        "not kind of great",
        "no problem, without doubt good",
        "The bomb, but NOT the best!!",
        "",
    ],
)
def test_the_rules_of_negation_and_idiom_still_apply(text: str) -> None:
    """Phrases of each rule that is left out elsewhere get the library's score."""
    assert analyzer().compound(text) == _library.polarity_scores(text)["compound"]
