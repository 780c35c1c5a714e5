"""Contacts with the service centre: how often, how they went, and whether leaving was mentioned."""

from __future__ import annotations

import math

from models.events.types import Event
from models.features.base import Group, declare
from models.features.layout import AMOUNT, COUNT, LOWEST, NAN, SCALE, Array, Layout, fixed
from models.features.view import View, ratio
from models.text.lexicon import understand

CONTACTS, UNRESOLVED, CANCEL_INTENT, SENTIMENTS, SENTIMENT_SUM, WORST = range(6)
LATEST_SENTIMENT, LATEST_UNRESOLVED = range(2)

LAYOUT = Layout(tiles=(COUNT, COUNT, COUNT, COUNT, AMOUNT, LOWEST), lasts=1, latest=2)


def observe(event: Event) -> tuple[float, ...] | None:
    """One conversation. Its text is understood here and not kept."""
    conversation = event.conversation
    if conversation is None:
        return None
    signals = understand(conversation)
    unresolved = 1.0 if conversation.resolved is False else 0.0
    intent = 1.0 if signals.cancel_intent > 0 else 0.0
    if math.isnan(signals.sentiment):
        return (1.0, unresolved, intent, 0.0, 0.0, math.inf, 1.0, NAN, unresolved)
    mood = float(fixed(signals.sentiment))
    return (1.0, unresolved, intent, 1.0, mood, mood, 1.0, mood, unresolved)


def vector(of: View) -> list[Array]:
    """See FEATURES."""
    return [
        of.count(7, CONTACTS), of.count(30, CONTACTS), of.count(90, CONTACTS),
        of.count(30, UNRESOLVED), of.count(90, UNRESOLVED),
        of.count(30, CANCEL_INTENT), of.count(90, CANCEL_INTENT),
        of.latest(LATEST_SENTIMENT) / SCALE,
        of.lowest(30, WORST) / SCALE,
        ratio(of.amount(90, SENTIMENT_SUM), of.count(90, SENTIMENTS)),
        of.latest(LATEST_UNRESOLVED),
        of.days_since_last(0),
    ]  # fmt: skip


GROUP = Group(
    name="contact",
    layout=LAYOUT,
    effects=frozenset({"conversation"}),
    observe=observe,
    vector=vector,
    features=declare(
        "contact",
        (
            "contacts_7d",
            "contacts",
            "chats, calls and e-mails in 7 days",
            "log1p",
            "{contacts} with the service in 7 days",
        ),
        (
            "contacts_30d",
            "contacts",
            "chats, calls and e-mails in 30 days",
            "log1p",
            "{contacts} with the service in 30 days",
        ),
        (
            "contacts_90d",
            "contacts",
            "chats, calls and e-mails in 90 days",
            "log1p",
            "{contacts} with the service in 90 days",
        ),
        (
            "unresolved_30d",
            "contacts",
            "contacts that ended unresolved in 30 days",
            "log1p",
            "{unresolved contacts} in 30 days",
        ),
        (
            "unresolved_90d",
            "contacts",
            "contacts that ended unresolved in 90 days",
            "log1p",
            "{unresolved contacts} in 90 days",
        ),
        (
            "cancel_intent_30d",
            "contacts",
            "contacts in which leaving was mentioned in 30 days",
            "log1p",
            "{mentions of leaving} in 30 days",
        ),
        (
            "cancel_intent_90d",
            "contacts",
            "contacts in which leaving was mentioned in 90 days",
            "log1p",
            "{mentions of leaving} in 90 days",
        ),
        (
            "last_sentiment",
            "-1..1",
            "mood of the customer's words in the last contact with text",
            "identity",
            "mood of the last contact: {mood} || no contact with a mood yet",
        ),
        (
            "worst_sentiment_30d",
            "-1..1",
            "worst mood of a contact in 30 days",
            "identity",
            "worst mood of a contact in 30 days: {mood} || no contact with a mood in 30 days",
        ),
        (
            "mean_sentiment_90d",
            "-1..1",
            "mean mood of the contacts in 90 days",
            "identity",
            "mean mood of contacts in 90 days: {mood} || no contact with a mood in 90 days",
        ),
        (
            "last_unresolved",
            "0/1",
            "whether the last contact ended unresolved",
            "identity",
            "the last contact ended unresolved | the last contact was resolved | no contact yet",
        ),
        (
            "days_since_contact",
            "days",
            "time since the last contact",
            "log1p",
            "no contact for {days} | last contact {days} ago | no contact yet",
        ),
    ),
)
