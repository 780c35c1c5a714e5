"""Is there enough data to learn from? A verdict that a manager understands, before and after training.

The criteria follow what customer data platforms ask before they train a prediction: Segment (5 event types, history of
three times the horizon, 100 customers of either kind) and RudderStack (5 to 95 % of customers with the label).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from models.settings import SufficiencySettings

Level = Literal["ok", "limited", "not enough"]
_LEVELS: tuple[Level, ...] = ("ok", "limited", "not enough")
#: With less than this share of what is needed, nothing can be learned; between, it can, with care.
_LEAST_SHARE = 0.3
_SENTENCES: dict[Level, str] = {
    "ok": "There is enough data for a learned model.",
    "limited": "There is enough data to learn from, but take the scores with care: {missing}.",
    "not enough": "There is not enough data for a learned model, so the rule is used: {missing}.",
}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What there is. `labels` are predictions whose truth is known, `positives` those of customers who left;
    `event_types` are different event names; days may be broken.
    """

    labels: int
    positives: int
    history_days: float
    horizon_days: float
    event_types: int


class Criterion(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is asked for. `value` is None where it cannot be said (a rate without labels).

    `needed` is the least value; for `label_rate` it is the share that the rarer outcome must have.
    """

    name: str
    value: float | None
    needed: float
    met: bool
    level: Level
    sentence: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The worst level of all criteria, and why."""

    level: Level
    criteria: tuple[Criterion, ...]
    sentence: str


def verdict(facts: Facts, needed: SufficiencySettings) -> Verdict:
    """Judge the facts. Few labels or a short history can mean `not enough`; a lopsided rate or few kinds of events only
    `limited`.
    """
    negatives, horizon = facts.labels - facts.positives, facts.horizon_days
    rarer = min(facts.positives, negatives) / facts.labels if facts.labels else None
    criteria = (
        _count("labels", facts.labels, needed.labels, "predictions have a known outcome"),
        _count("positives", facts.positives, needed.positives, "of them are of customers who left"),
        _count("negatives", negatives, needed.negatives, "of them are of customers who stayed"),
        _rate(rarer, needed.rarer_share),
        _history(facts.history_days, needed.horizons * horizon, horizon),
        _soft("event_types", facts.event_types, needed.event_types, "kinds of events are seen"),
    )
    level = max((criterion.level for criterion in criteria), key=_LEVELS.index)
    missing = "; ".join(criterion.sentence for criterion in criteria if not criterion.met)
    return Verdict(level=level, criteria=criteria, sentence=_SENTENCES[level].format(missing=missing))


def _count(name: str, value: float, needed: float, what: str) -> Criterion:
    level: Level = "ok" if value >= needed else "limited" if value >= _LEAST_SHARE * needed else "not enough"
    return _criterion(name, value, needed, level, f"{value:,.0f} {what} ({needed:,.0f} needed)")


def _soft(name: str, value: float, needed: float, what: str) -> Criterion:
    level: Level = "ok" if value >= needed else "limited"
    return _criterion(name, value, needed, level, f"{value:,.0f} {what} ({needed:,.0f} needed)")


def _rate(rarer: float | None, needed: float) -> Criterion:
    if rarer is None:
        sentence = "no outcome is known yet, so the rate of leavers is unknown"
        return _criterion("label_rate", None, needed, "limited", sentence)
    level: Level = "ok" if rarer >= needed else "limited"
    return _criterion("label_rate", rarer, needed, level, f"the rarer outcome is {rarer:.1%} ({needed:.0%} needed)")


def _history(days: float, needed: float, horizon: float) -> Criterion:
    level: Level = "ok" if days >= needed else "limited" if days > horizon else "not enough"
    return _criterion("history_days", days, needed, level, f"{days:,.0f} days of history ({needed:,.0f} needed)")


def _criterion(name: str, value: float | None, needed: float, level: Level, sentence: str) -> Criterion:
    return Criterion(name=name, value=value, needed=needed, met=level == "ok", level=level, sentence=sentence)
