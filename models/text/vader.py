"""VADER's compound score at a fifth of its price: the same answer, with what cannot change it left out.

The library looks at every word as if it had a valence, lowers the whole text again for each of them, and searches its
list of negations one by one. Here its own rules run only where they can matter; a property test holds both equal.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from vaderSentiment.vaderSentiment import BOOSTER_DICT, NEGATE, SentimentIntensityAnalyzer, SentiText, normalize

from models.text.words import SUPPORT_WORDS

#: The rules look at so many words before a word with a valence, and two behind it.
_BEFORE, _BEHIND = 3, 2
#: Without one of these before it, or a word with "n't", no rule of negation applies to a word.
_NEGATING: Final = frozenset(NEGATE) | {"never", "without", "doubt", "so", "this"}


class Analyzer(SentimentIntensityAnalyzer):  # type: ignore[misc] # ships no types
    """The library's analyzer with the words of customer support."""

    def __init__(self) -> None:
        super().__init__()
        self.lexicon.update(SUPPORT_WORDS)

    def compound(self, text: str) -> float:
        """The score of `polarity_scores`, -1 to 1."""
        if not text.isascii():
            # Emoji are put into words first.
            return float(self.polarity_scores(text)["compound"])
        parsed = SentiText(text)
        words = parsed.words_and_emoticons
        lowered = [word.lower() for word in words]
        felt = [i for i, word in enumerate(lowered) if word in self.lexicon and not _modifies(lowered, i)]
        if not felt:
            return 0.0
        valences: list[float] = [0] * len(words)
        for i in felt:
            valences[i] = self.sentiment_valence(0, parsed, words[i], i, [])[0]
        if "but" in lowered:
            valences = self._but_check(words, valences)
        total = float(sum(valences))
        if total:
            emphasis = self._punctuation_emphasis(text)
            total += emphasis if total > 0 else -emphasis
        return round(float(normalize(total)), 4)

    @staticmethod
    def _negation_check(valence: float, words: list[str], start: int, i: int) -> Any:
        before = [word.lower() for word in words[max(0, i - _BEFORE) : i]]
        if not any(word in _NEGATING or "n't" in word for word in before):
            return valence
        return SentimentIntensityAnalyzer._negation_check(valence, before, start, len(before))

    @staticmethod
    def _special_idioms_check(valence: float, words: list[str], i: int) -> Any:
        near = words[i - _BEFORE : i + _BEHIND + 1]
        return SentimentIntensityAnalyzer._special_idioms_check(valence, near, _BEFORE)


def _modifies(lowered: list[str], i: int) -> bool:
    return lowered[i] in BOOSTER_DICT or (lowered[i] == "kind" and lowered[i + 1 : i + 2] == ["of"])


@lru_cache(maxsize=1)
def analyzer() -> Analyzer:
    """The one of this process, built on first use: it reads the word list that its package ships."""
    return Analyzer()
