"""Conversations in words: a topic, a tone and an outcome become turns of a chat or a call."""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

from models.simulator import dynamics, phrases
from models.simulator.complaints import COMPLAINTS
from models.simulator.phrases import Topic

#: Tones from here down are angry, from here up warm; -1 to 1.
_ANGRY_TO, _WARM_FROM = -0.3, 0.25

_CHAT_GAP_S, _CALL_GAP_S = (8, 75), (3, 14)


class Talk(NamedTuple):
    """One finished conversation, times in milliseconds after its start."""

    topic: str
    queue: str
    agent: str
    turns: list[tuple[str, int, str]]
    duration_ms: int


def topic_of(topic: int, dice: Random) -> Topic:
    """The phrases for a topic of the dynamics."""
    if topic == dynamics.COMPLAINED:
        return dice.choice(COMPLAINTS)
    return {
        dynamics.ASKED_TO_LEAVE: phrases.LEAVE,
        dynamics.ASKED: phrases.QUESTION,
        dynamics.PRAISED: phrases.PRAISE,
    }[topic]


def talk(topic: Topic, tone: float, resolved: bool, channel: str, slots: dict[str, Any], dice: Random) -> Talk:
    """Let a customer and an agent speak.

    Parameters
    ----------
    topic, tone, resolved
        What it is about, how the customer sounds (-1 to 1), and how it ends.
    channel
        `chat` or `call`; on calls people speak in longer, less tidy sentences.
    slots
        Values for `{order}`, `{product}`, `{days}`, `{amount}` and `{digits}`.
    dice
        The source of variety.
    """
    mood = phrases.ANGRY if tone < _ANGRY_TO else phrases.WARM if tone > _WARM_FROM else phrases.COOL
    agent = dice.choice(phrases.AGENTS)
    lines = _script(topic, mood, resolved, dice)
    low, high = _CALL_GAP_S if channel == "call" else _CHAT_GAP_S
    turns: list[tuple[str, int, str]] = []
    clock = 0
    for role, line in lines:
        text = line.format(agent=agent, **slots)
        if channel == "call" and role == "customer":
            text = _spoken(text, dice)
        turns.append((role, clock, text))
        clock += dice.randint(low * 1000, high * 1000) + 40 * len(text)
    return Talk(topic.name, topic.queue, agent, turns, clock)


def _script(topic: Topic, mood: int, resolved: bool, dice: Random) -> list[tuple[str, str]]:
    opening, (detail, more) = dice.choice(topic.openings[mood]), dice.sample(topic.details, 2)
    if dice.random() < 0.3:
        opening = f"{opening} {more}"
    script = [("agent", dice.choice(phrases.GREETINGS)), ("customer", opening)]
    answer = dice.choice(topic.solved if resolved else topic.unsolved)
    if topic is phrases.PRAISE:
        return [*script, ("agent", answer), ("customer", detail)]
    script += [("agent", dice.choice(phrases.ASKING)), ("customer", detail)]
    rounds = _rounds(mood, resolved, dice)
    holding, pressing = dice.sample(phrases.HOLDING, rounds), dice.sample(phrases.PRESSING[mood], rounds)
    for wait, push in zip(holding, pressing, strict=True):
        script += [("agent", wait), ("customer", push)]
    ending = phrases.GLAD if resolved else phrases.DISAPPOINTED
    script += [("agent", answer), ("customer", dice.choice(ending[mood]))]
    if dice.random() < 0.6:
        script.append(("agent", dice.choice(phrases.FAREWELLS)))
    return script


def _rounds(mood: int, resolved: bool, dice: Random) -> int:
    most = 3 if mood == phrases.ANGRY else 2 if not resolved else 1
    return dice.randint(0, most)


def _spoken(text: str, dice: Random) -> str:
    """How a recogniser writes speech down: fillers, small letters, hardly any marks."""
    plain = text.replace("!", ".").replace("'", "").replace(" - ", " ")
    return (dice.choice(phrases.FILLERS) + plain[0].lower() + plain[1:]).strip()
