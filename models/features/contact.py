"""Contacts with the service centre: how often, how they went, and whether leaving was mentioned."""

from __future__ import annotations

import math

from models.events.types import Event
from models.features.base import Group, declare
from models.features.summary import DAY_S, NEVER, Layout, Summary, days_between, ratio
from models.text.lexicon import understand

CONTACTS, UNRESOLVED, CANCEL_INTENT, SENTIMENTS, SENTIMENT_SUM, WORST = range(6)
LATEST_SENTIMENT, LATEST_UNRESOLVED = range(2)

LAYOUT = Layout(tiles=("+", "+", "+", "+", "+", "min"), lasts=1, latest=2)


def observe(summary: Summary, event: Event) -> None:
    """Fold one conversation in. Its text is understood here and not kept."""
    conversation = event.conversation
    if conversation is None:
        return
    signals = understand(conversation)
    unresolved = 1 if conversation.resolved is False else 0
    tile = summary.tile(LAYOUT, event.time)
    tile[CONTACTS] += 1
    tile[UNRESOLVED] += unresolved
    tile[CANCEL_INTENT] += 1 if signals.cancel_intent > 0 else 0
    if not math.isnan(signals.sentiment):
        tile[SENTIMENTS] += 1
        tile[SENTIMENT_SUM] += signals.sentiment
        tile[WORST] = min(tile[WORST], signals.sentiment)
        summary.set_latest(LATEST_SENTIMENT, event.time, signals.sentiment)
    summary.set_latest(LATEST_UNRESOLVED, event.time, unresolved)
    summary.seen(None, 0, event.time)


def vector(summary: Summary, now: float) -> list[float]:
    """See FEATURES."""
    _, d7, d30, d90 = summary.windows(LAYOUT, now)
    today = int(now // DAY_S)
    worst = min((tile[WORST] for day, tile in summary.tiles.items() if 0 <= today - day < 30), default=math.inf)
    unresolved_at, unresolved = summary.latest[LATEST_UNRESOLVED]
    return [
        d7[CONTACTS], d30[CONTACTS], d90[CONTACTS],
        d30[UNRESOLVED], d90[UNRESOLVED],
        d30[CANCEL_INTENT], d90[CANCEL_INTENT],
        summary.latest[LATEST_SENTIMENT][1],
        worst if math.isfinite(worst) else math.nan,
        ratio(d90[SENTIMENT_SUM], d90[SENTIMENTS]),
        unresolved if unresolved_at > NEVER else math.nan,
        days_between(now, summary.lasts[0]),
    ]  # fmt: skip


GROUP = Group(
    name="contact",
    layout=LAYOUT,
    effects=frozenset({"conversation"}),
    observe=observe,
    vector=vector,
    features=declare(
        "contact",
        ("contacts_7d", "contacts", "chats, calls and e-mails in 7 days", "log1p"),
        ("contacts_30d", "contacts", "chats, calls and e-mails in 30 days", "log1p"),
        ("contacts_90d", "contacts", "chats, calls and e-mails in 90 days", "log1p"),
        ("unresolved_30d", "contacts", "contacts that ended unresolved in 30 days", "log1p"),
        ("unresolved_90d", "contacts", "contacts that ended unresolved in 90 days", "log1p"),
        ("cancel_intent_30d", "contacts", "contacts in which leaving was mentioned in 30 days", "log1p"),
        ("cancel_intent_90d", "contacts", "contacts in which leaving was mentioned in 90 days", "log1p"),
        ("last_sentiment", "-1..1", "mood of the customer's words in the last contact with text"),
        ("worst_sentiment_30d", "-1..1", "worst mood of a contact in 30 days"),
        ("mean_sentiment_90d", "-1..1", "mean mood of the contacts in 90 days"),
        ("last_unresolved", "0/1", "whether the last contact ended unresolved"),
        ("days_since_contact", "days", "time since the last contact", "log1p"),
    ),
)
