"""Whether a customer's words ask to leave: phrase rules, each with its strength and guarded against negation.

The strength is how plainly a phrase says it, by judgement: 1 asks to end the relation, 0.8 announces leaving, 0.5
hints at it. Cancelling an order or an appointment is not leaving.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

_OF_MINE = r"(?:(?:my|our|the|this|that|your|an?|whole|entire|monthly|annual|yearly|premium|paid|current)\s+){0,3}"
_CONTRACT = r"(?:subscriptions?|memberships?|accounts?|plan|contract|services?|policy|auto-?renew(?:al)?|renewal)\b"
_NOT_AN_ORDER = (
    r"(?!\s+" + _OF_MINE + r"(?:\w+\s+)?"
    r"(?:orders?|appointments?|bookings?|reservations?|deliver(?:y|ies)|items?|trips?|meetings?|calls?|payments?|"
    r"purchases?|returns?|shipments?|parcels?|tickets?|refunds?)\b)"
)
_SAME_SHOP = (
    r"(?!\s+(?:\w+\s+){0,3}(?:plan|tier|size|colou?r|flavou?r|card|e?mail|address|paypal|monthly|annual|annually|yearly|"
    r"agent|language|currency|billing|version|app|number|box)\b)"
)


class _Rule(msgspec.Struct, frozen=True):
    strength: float
    pattern: re.Pattern[str]
    #: No text without one of these is searched: most turns hold none, or those of few rules.
    needs: tuple[str, ...]
    #: The phrase holds a negation of its own ("won't renew"); the guard would void it.
    negative: bool = False


def _rule(strength: float, needs: str, pattern: str, *, negative: bool = False) -> _Rule:
    return _Rule(strength, re.compile(pattern), tuple(needs.split("|")), negative)


_CANCEL = r"cancel(?:l?ing|l?ed)?"

_RULES: Final = (
    _rule(1.0, "cancel", rf"\b{_CANCEL}\s+{_OF_MINE}{_CONTRACT}"),
    _rule(
        1.0, "clos|delet|deactivat|terminat", rf"\b(?:clos|delet|deactivat|terminat)(?:e|ing)\s+{_OF_MINE}{_CONTRACT}"
    ),
    _rule(1.0, "stop|end|discontinue|quit", rf"\b(?:stop|end|discontinue|quit)(?:ping|ing)?\s+{_OF_MINE}{_CONTRACT}"),
    _rule(1.0, "turn", rf"\bturn(?:ing)?\s+off\s+{_OF_MINE}{_CONTRACT}"),
    _rule(
        1.0,
        "cancel|terminate",
        r"\b(?:want|wants|wanted|wish|like|love|need|going|decided|planning|trying|tried|ready|about|asked|how)\s+to\s+"
        rf"(?P<verb>cancel|terminate){_NOT_AN_ORDER}\b",
    ),
    _rule(
        1.0,
        "cancel",
        rf"\b(?:i'm|i am|we're|we are|i'll|we'll|i will|we will)\s+(?:just\s+)?{_CANCEL}\b{_NOT_AN_ORDER}",
    ),
    _rule(1.0, "cancel|terminate", rf"\bplease\s+(?:just\s+)?(?:cancel|terminate)\b{_NOT_AN_ORDER}"),
    _rule(
        1.0,
        "cancel|closed|terminated",
        r"\b(?:subscription|membership|account|contract|plan)\s+(?:cancell?ation|cancell?ed|closed|terminated)\b",
    ),
    _rule(
        1.0,
        "cancel|terminate",
        rf"\bhow\s+(?:do|can|could|should|would)\s+(?:i|we|you)\s+(?:cancel|terminate)\b{_NOT_AN_ORDER}",
    ),
    _rule(1.0, "cancel", r"\b(?:request|requesting|requested|confirm)\s+(?:a|the|my)\s+cancell?ation\b"),
    _rule(
        0.8,
        "renew",
        r"\b(?:won't|will not|not going to|don't want to|do not want to|not)\s+(?:be\s+)?renew(?:ing)?\b",
        negative=True,
    ),
    _rule(
        0.8,
        "no longer|don't|do not",
        rf"\b(?:no longer (?:want|need)|don't (?:want|need)|do not (?:want|need))\s+{_OF_MINE}{_CONTRACT}",
        negative=True,
    ),
    _rule(
        0.8,
        "leave|quit",
        r"\b(?:want|wants|like|going|ready|decided|time|have|need)\s+to\s+(?:leave|quit)\b"
        r"(?!\s+(?:an?|my|the|some|it|this|you an?|feedback|now for|for work|home|early)\b)",
    ),
    _rule(
        0.8,
        "leaving",
        r"\b(?:i'm|i am|we're|we are)\s+leaving\b"
        r"(?!\s+(?:an?|the|my|our|it|this|that|some|for|on|at|in|to|town|home|work|feedback|now|today|tomorrow)\b)",
    ),
    _rule(
        0.8,
        "cancel|leav|quit",
        rf"\b(?:thinking\s+(?:about|of)|considering|tempted\s+to)\s+(?:cancel|leav|quit)\w*\b{_NOT_AN_ORDER}",
    ),
    _rule(
        0.8,
        "elsewhere|somewhere",
        r"\b(?:taking|take)\s+(?:my|our)\s+(?:business|money|custom)\s+(?:elsewhere|somewhere)",
    ),
    _rule(
        0.8, "out of", r"\bget(?:ting)?\s+out\s+of\s+(?:my|our|the|this)\s+(?:contract|subscription|membership|plan)\b"
    ),
    _rule(
        0.8,
        "never",
        r"\bnever\s+(?:again\s+)?(?:order|buy|shop|use|using|ordering|buying|shopping|subscribe|do business)\w*\s+"
        r"(?:\w+\s+){0,4}(?:again|with you|from you|your)\b",
        negative=True,
    ),
    _rule(
        0.8,
        "done|through|finished",
        r"\b(?:i'm|i am|we're|we are)\s+(?:so\s+)?(?:done|through|finished)\s+with\s+(?:you|your|this)\b",
    ),
    _rule(
        0.8,
        "competitor|provider|company",
        r"\b(?:switch|mov|go)(?:e|ing|ed)?\s+(?:over\s+)?to\s+(?:an?|another|your)\s+(?:\w+\s+)?"
        r"(?:competitor|provider|company)",
    ),
    _rule(0.5, "switch", rf"\b(?:switching|switched|switch)\s+(?:over\s+)?to\b{_SAME_SHOP}"),
    _rule(0.5, "elsewhere", r"\b(?:go|going|look|looking|shop|shopping)\s+elsewhere\b"),
    _rule(
        0.5,
        "unsubscrib",
        r"\bunsubscrib(?:e|ing)\b"
        r"(?!\s+(?:\w+\s+){0,4}(?:newsletters?|e?-?mails?|mailing|list|texts?|sms|notifications?)\b)",
    ),
)

#: Needed word -> the rules that need it.
_BY_NEED: Final = {
    need: [rule for rule in _RULES if need in rule.needs]
    for need in dict.fromkeys(need for rule in _RULES for need in rule.needs)
}

# "don't want to cancel": a negation before the phrase with nothing but helping words between. It does not count
# where it is the complaint itself: "it won't let me cancel", "I don't know how to cancel", "you didn't cancel it".
_NEGATED = re.compile(
    r"\b(?:don't|dont|do not|didn't|did not|won't|will not|wouldn't|would not|never|not|without|instead of|rather than|"
    r"no (?:need|reason|plans?|intentions?|wish))"
    r"(?:\s+(?:really|actually|just|yet|currently|ever|even|want|wanting|wish|wishing|like|need|reason|intend|mean|"
    r"plan|planning|going|looking|trying|think|thinking|considering|ask|asked|asking|anyone|you|i|we|to|of|about|be|"
    r"for|please|a|any|the)){0,6}\s*$"
)
_NOT_DONE_FOR_ME = re.compile(
    r"\b(?:you|they|nobody|support|he|she)(?: guys| people)?(?: (?:still|just|have|even|simply))*\s*$"
)
_BEFORE_CHARS = 80
_SPACES = re.compile(r"\s+")


def cancel_intent(text: str) -> float:
    """How plainly the text asks to leave: 0 (not at all) to 1 (asks to cancel the subscription or account)."""
    plain = _SPACES.sub(" ", text.replace("’", "'").lower())
    found = [rule for need, rules in _BY_NEED.items() if need in plain for rule in rules]
    return max((rule.strength for rule in found if _says(rule, plain)), default=0.0)


def _says(rule: _Rule, text: str) -> bool:
    return any(rule.negative or not _negated(text, match) for match in rule.pattern.finditer(text))


def _negated(text: str, match: re.Match[str]) -> bool:
    """Whether the phrase, or its verb where the rule marks one, is denied by what stands before it."""
    before = text[: match.start(match.lastgroup or 0)][-_BEFORE_CHARS:]
    negation = _NEGATED.search(before)
    return negation is not None and not _NOT_DONE_FOR_ME.search(before[: negation.start()])
