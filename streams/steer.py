"""What others than the trainer do with its topics: read how the models stand, and send commands."""

from __future__ import annotations

import asyncio
import uuid

import msgspec
from aiokafka import TopicPartition

from models.churn.control import CONTROL_KEY, Answer, Control, encode_control
from models.settings import BrokerSettings
from streams.chunks import BatchProducer, Outgoing, wait_all
from streams.history import History, decode_history, history_key, version_key
from streams.kafka import log_ends
from streams.topics import EXAMPLES, MODEL, topic_name
from streams.worker.changelog import assigned_consumer, read_to_end


class Told(msgspec.Struct, frozen=True):
    """What topic `model` says of one label key; `records` are the kept versions and the served model, by version."""

    history: History
    records: dict[str, bytes]


async def read_models(broker: BrokerSettings, key: str) -> Told | None:
    """How the models of a label key stand; None if no trainer has published for it yet.

    Raises
    ------
    aiokafka.errors.KafkaError
        The broker cannot be reached, or has no topic `model`.
    """
    newest: dict[bytes, bytes | None] = {}
    async for records in read_to_end(broker, topic_name(broker, MODEL), 0):
        newest |= {record.key: record.value for record in records if record.key is not None}
    raw = newest.get(history_key(key))
    if raw is None:
        return None
    history = decode_history(raw)
    kept = {one.version: newest.get(version_key(key, one.version)) for one in history.versions.kept}
    kept[history.served] = newest.get(key.encode())
    return Told(history, {version: record for version, record in kept.items() if record is not None})


async def command(broker: BrokerSettings, control: Control, within_s: float) -> Answer | None:
    """Send a command, which must name its label key, and wait for the answer; None if none came in time.

    Without a trainer the command stays on the topic, and the next one to run obeys it.

    Raises
    ------
    aiokafka.errors.KafkaError
        The broker cannot be reached, or does not take the command.
    """
    control = msgspec.structs.replace(control, id=control.id or uuid.uuid4().hex)
    place = TopicPartition(topic_name(broker, MODEL), 0)
    end = (await log_ends(broker, [place]))[place]
    async with assigned_consumer(broker, place.topic, 0) as consumer:
        consumer.seek(place, end)
        await _send(broker, control)
        try:
            async with asyncio.timeout(within_s):
                while True:
                    for records in (await consumer.getmany(place, timeout_ms=500)).values():
                        for record in records:
                            if record.key == history_key(control.key) and (found := _answer(record.value, control.id)):
                                return found
        except TimeoutError:
            return None


async def _send(broker: BrokerSettings, control: Control) -> None:
    producer = BatchProducer(broker)
    await producer.start()
    try:
        record = Outgoing(CONTROL_KEY, encode_control(control))
        await wait_all(await producer.send(topic_name(broker, EXAMPLES), 0, [record]))
    finally:
        await producer.stop()


def _answer(raw: bytes | None, command_id: str) -> Answer | None:
    history = decode_history(raw or b"{}")
    return next((one for one in history.answers if one.id == command_id), None)
