"""Whether there is something to verify: the topics are there, and the worker has applied what lies on them."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from aiokafka import TopicPartition

from models.settings import BrokerSettings, Settings
from streams.kafka import group_id
from streams.outside import Place, ends_of
from streams.topic_checks import check_topics
from streams.topics import REROUTED, SOURCES, topic_name
from streams.verify.inputs import CannotVerify
from streams.verify.log import reader

_LOOK_EVERY_S: Final = 0.2


async def require_topics(broker: BrokerSettings) -> None:
    """Raise CannotVerify for topics that no worker would run on.

    Call it before anything else: some brokers create a missing topic when they are asked about it.
    """
    wrong = [one.text for one in await check_topics(broker) if one.missing or one.harmful]
    if wrong:
        raise CannotVerify(f"cannot read {where(broker)}: {'; '.join(wrong)}")


def where(broker: BrokerSettings) -> str:
    """The deployment, as messages name it."""
    topics = f"the topics {broker.topic_prefix}*" if broker.topic_prefix else "the topics"
    return f"{topics} on {broker.bootstrap}"


async def applied_ends(settings: Settings, wait_s: float) -> dict[Place, int]:
    """The ends of the sources and of what was re-routed from them, once the worker's group has committed both.

    Raises CannotVerify if it has not within `wait_s` seconds.
    """
    deadline = time.monotonic() + wait_s
    ends = await _wait_for(settings, places_of(settings.broker, *SOURCES), deadline)
    return ends | await _wait_for(settings, places_of(settings.broker, REROUTED), deadline)


async def _wait_for(settings: Settings, places: list[Place], deadline: float) -> dict[Place, int]:
    broker, group = settings.broker, group_id(settings)
    ends = await ends_of(broker, places)
    partitions = {TopicPartition(topic_name(broker, topic), number): (topic, number) for topic, number in places}
    async with reader(broker, partitions, group) as consumer:
        while True:
            # The embedded broker does not answer an admin client's question for these.
            lag = {place: ends[place] - (await consumer.committed(tp) or 0) for tp, place in partitions.items()}
            waiting = {place: count for place, count in lag.items() if count > 0}
            if not waiting:
                return ends
            if time.monotonic() > deadline:
                raise CannotVerify(_not_applied(group, waiting))
            await asyncio.sleep(_LOOK_EVERY_S)


def _not_applied(group: str, waiting: dict[Place, int]) -> str:
    told = ", ".join(f"{topic}/{number} {count:,}" for (topic, number), count in sorted(waiting.items()))
    return (
        f"group {group!r} has not applied {sum(waiting.values()):,} records yet ({told}); "
        "start the worker, or wait for it with --wait"
    )


def places_of(broker: BrokerSettings, *topics: str) -> list[Place]:
    """Every partition of some topics."""
    return [(topic, number) for topic in topics for number in range(broker.partitions)]
