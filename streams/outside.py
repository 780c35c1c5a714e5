"""What somebody outside of the roles does with their topics: sends for sure, looks at groups, reads and deletes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Self

import msgspec
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from models.settings import BrokerSettings
from streams.chunks import BatchProducer, Outgoing, wait_all
from streams.kafka import log_ends, security_options
from streams.topics import topic_name

#: Logical topic and partition.
Place = tuple[str, int]
_RETRY_S = 0.5


#: What talking to a broker raises when it is away or refuses, for those who only want to say so.
BROKER_ERRORS = (KafkaError, OSError, TimeoutError)


class BrokerAway(RuntimeError):  # noqa: N818 - reads as the fact that it states
    """The broker did not answer, or not in time; the message says what was asked of it."""


class GroupLook(msgspec.Struct, frozen=True):
    """A group at one moment: committed offsets by place, member ids, and whether no rebalance is under way."""

    committed: dict[Place, int]
    members: frozenset[str]
    stable: bool


async def look_at_group(broker: BrokerSettings, group: str) -> GroupLook:
    """The group as the broker knows it. Raises BrokerAway."""
    async with _admin(broker) as admin:
        offsets = await admin.list_consumer_group_offsets(group)
        [described] = (await admin.describe_consumer_groups([group]))[0].groups
    prefix = broker.topic_prefix
    committed = {(tp.topic.removeprefix(prefix), tp.partition): kept.offset for tp, kept in offsets.items()}
    _, _, state, _, _, members = described
    return GroupLook(committed, frozenset(member[0] for member in members), state == "Stable")


async def ends_of(broker: BrokerSettings, places: Iterable[Place]) -> dict[Place, int]:
    """The offset behind the last record of each place. Raises BrokerAway."""
    # A consumer that is stopped before its first step is cancelled by its own stop: nothing must be asked for nothing.
    if not (places := list(places)):
        return {}
    wanted = {TopicPartition(topic_name(broker, logical), number): (logical, number) for logical, number in places}
    try:
        return {wanted[tp]: end for tp, end in (await log_ends(broker, wanted)).items()}
    except (KafkaError, OSError) as error:
        raise BrokerAway(f"cannot read the log ends of {len(wanted)} partitions: {error!r}") from error


async def delete_topics(broker: BrokerSettings, names: Iterable[str]) -> None:
    """Delete topics with all their records. Raises BrokerAway."""
    async with _admin(broker) as admin:
        await admin.delete_topics(list(names))


class DurableSender:
    """Sends until the broker has everything; used as a context manager.

    What was not acknowledged is sent again, so a broker that goes away may have some records twice, as with
    any producer that loses nothing. `resent` counts the records of such attempts.
    """

    def __init__(self, broker: BrokerSettings, within_s: float) -> None:
        self.resent = 0
        self._broker = broker
        self._within_s = within_s
        self._producer = BatchProducer(broker)

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._producer.stop()

    async def send(self, records: dict[Place, list[Outgoing]]) -> None:
        """Send and wait for every acknowledgement. Raises BrokerAway after `within_s` seconds of attempts."""
        deadline = asyncio.get_running_loop().time() + self._within_s
        while True:
            failures = await self._attempt(records)
            if not failures:
                return
            records = {place: records[place] for place in failures}
            self.resent += sum(map(len, records.values()))
            if asyncio.get_running_loop().time() > deadline:
                why = next(iter(failures.values()))
                raise BrokerAway(f"cannot send to {sorted(failures)} within {self._within_s:.0f} s: {why!r}") from why
            await asyncio.sleep(_RETRY_S)

    async def _attempt(self, records: dict[Place, list[Outgoing]]) -> dict[Place, KafkaError]:
        sent, failures = {}, dict[Place, KafkaError]()
        for place, outgoing in records.items():
            try:
                sent[place] = await self._producer.send(topic_name(self._broker, place[0]), place[1], outgoing)
            except KafkaError as error:
                failures[place] = error
        for place, futures in sent.items():
            try:
                await wait_all(futures)
            except KafkaError as error:
                failures[place] = error
        return failures


@asynccontextmanager
async def _admin(broker: BrokerSettings) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(**security_options(broker))
    try:
        await admin.start()
        yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerAway(f"cannot ask {broker.bootstrap!r} about groups and topics: {error!r}") from error
    finally:
        await admin.close()
