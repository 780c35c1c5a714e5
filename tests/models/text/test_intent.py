from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.text.intent import _RULES, cancel_intent

ASKS = [
    "I want to cancel my subscription",
    "please cancel",
    "Please close my account",
    "stop the subscription",
    "terminate my contract now",
    "How do I cancel my premium membership?",
    "You still didn't cancel my subscription!",
    "It won't let me cancel my account",
    "I can't cancel my plan",
    "I do not know how to cancel my subscription",
    "I would like to cancel",
    "I’m cancelling unless you fix it",
    "turn off auto-renewal",
    "why was my subscription cancelled",
    "I'm not happy and want to cancel",
    "it's not working please cancel my subscription",
    "no i want to cancel",
    "I requested a cancellation last week",
    "How can I cancel?",
]
ANNOUNCES = [
    "I won't be renewing",
    "I don't want the subscription anymore",
    "I want to leave.",
    "we are taking our business elsewhere",
    "I am done with you",
    "I am leaving, other shops do this better",
    "I am thinking about cancelling",
    "never ordering from you again",
    "how can I get out of this contract",
    "we moved... moving to another provider next month",
]
HINTS = ["I'm switching to BrandX", "maybe I should look elsewhere", "unsubscribe"]
STAYS = [
    "I don't want to cancel my subscription",
    "I do not wish to cancel",
    "I'm not cancelling my plan",
    "please don't close my account",
    "I do not want you to close my account",
    "I have no intention to cancel my membership",
    "no need to cancel my subscription",
    "I never asked to cancel my account",
    "I'd never cancel my subscription",
    "I would like to change the plan instead of cancelling my subscription",
    "cancel my order please",
    "I want to cancel the last order",
    "please cancel order 123",
    "please cancel my appointment",
    "switching to the annual plan",
    "can I switch to paypal",
    "I want to leave a review",
    "we are leaving for the airport",
    "how do I cancel an order",
    "I'm not thinking of leaving",
    "please unsubscribe me from the newsletter",
    "the plan of my account looks fine",
    "thanks, bye",
    "",
]


@pytest.mark.parametrize(
    ("text", "strength"),
    [*((text, 1.0) for text in ASKS), *((text, 0.8) for text in ANNOUNCES), *((text, 0.5) for text in HINTS)],
)
def test_words_of_leaving_are_heard(text: str, strength: float) -> None:
    """Asking, announcing and hinting are found and graded."""
    assert cancel_intent(text) == strength


@pytest.mark.parametrize("text", STAYS)
def test_other_words_are_not_taken_for_it(text: str) -> None:
    """Negated wishes, cancelled orders and changes of plan are not leaving."""
    assert cancel_intent(text) == 0.0


def test_later_sentence_is_not_denied_by_an_earlier_one() -> None:
    """A negation counts only within the sentence of the phrase."""
    assert cancel_intent("No. I don't want that. Please cancel my plan.") == 1.0
    assert cancel_intent("I don't want to, cancel my plan") == 1.0


@given(st.text(max_size=300), st.sampled_from([*ASKS, *STAYS]))
def test_any_text_has_a_strength(text: str, phrase: str) -> None:
    """Arbitrary text around a phrase never fails, and case does not matter."""
    strength = cancel_intent(text + phrase)

    assert strength in (0.0, 0.5, 0.8, 1.0)
    assert cancel_intent(phrase.upper()) == cancel_intent(phrase)


@settings(max_examples=20)
@given(st.data())
def test_no_rule_needs_a_word_that_its_phrases_can_do_without(data: st.DataObject) -> None:
    """What a rule's pattern finds holds one of the words without which the rule is not searched."""
    for rule in _RULES:
        found = data.draw(st.from_regex(rule.pattern))
        phrase = rule.pattern.search(" ".join(found.lower().split()))

        assert phrase is None or any(need in phrase[0] for need in rule.needs)
