"""A producer that outlives a broker which is away, and gives up with a clear error.

aiokafka expires a batch after `request_timeout_ms`, and an idempotent one never. Here one limit,
`broker.delivery_timeout_s`, holds for both: until then sends wait, in order, and go on when the broker is back;
after it every send that waits and every later one fails with `DeliveryTimeout`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, NoError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.transaction import InitProducerIdRequest

from models.settings import BrokerSettings
from streams.kafka import producer_options, reached, security_options

log = logging.getLogger(__name__)

_CLOSE_WITHIN_S = 5.0
_ASK_TIMES, _ASK_AGAIN_S = 3, 0.2
_NO_TIMEOUT_MS = 2**31 - 1


class DeliveryTimeout(KafkaError):  # type: ignore[misc] # noqa: N818 - aiokafka ships no types; reads as a fact
    """The broker did not accept what was sent within `broker.delivery_timeout_s`."""


async def connect(broker: BrokerSettings) -> AIOKafkaProducer:
    """A started producer; stop it with `disconnect`.

    It is idempotent as `broker.idempotence` says: with `auto`, if the broker hands out producer ids.

    Raises
    ------
    aiokafka.errors.KafkaError
        No broker answers within `broker.request_timeout_s`, or idempotence is `on` and the broker cannot do it.
    """
    return await reached(broker, lambda: _connect(broker))


async def _connect(broker: BrokerSettings) -> AIOKafkaProducer:
    idempotent = broker.idempotence != "off" and await _hands_out_ids(broker)
    if broker.idempotence == "on" and not idempotent:
        raise KafkaError(f"{broker.bootstrap!r} hands out no producer ids: set broker.idempotence to auto or off")
    if broker.idempotence == "auto" and not idempotent:
        log.info("broker hands out no producer ids: a batch that must be sent again may be stored twice")
    producer = AIOKafkaProducer(**producer_options(broker), enable_idempotence=idempotent)
    # `watch` is to give up first: these are the two clocks by which aiokafka would.
    patience_s = 2 * broker.delivery_timeout_s
    producer._message_accumulator._batch_ttl = patience_s
    producer._request_timeout_ms = patience_s * 1000
    try:
        await producer.start()
    except BaseException:
        await producer.stop()
        raise
    return producer


async def _hands_out_ids(broker: BrokerSettings) -> bool:
    """Whether a producer can be idempotent. The embedded broker announces it and refuses, so the test is to ask."""
    client = AIOKafkaClient(**security_options(broker))
    try:
        await client.bootstrap()
        for _ in range(_ASK_TIMES):
            answer = await client.send(client.get_random_node(), InitProducerIdRequest(None, _NO_TIMEOUT_MS))
            if for_code(answer.error_code) is NoError:
                return True
            # A broker that is still starting answers so too.
            await asyncio.sleep(_ASK_AGAIN_S)
        return False
    except IncompatibleBrokerVersion:
        return False
    finally:
        await client.close()


async def watch(producer: AIOKafkaProducer, broker: BrokerSettings) -> None:
    """Fail everything that waits once something waited for `broker.delivery_timeout_s`. Runs until cancelled."""
    limit_s = broker.delivery_timeout_s
    every_s = min(1.0, limit_s / 10)
    while True:
        slept_from = time.monotonic()
        await asyncio.sleep(every_s)
        now = time.monotonic()
        if now - slept_from > 2 * every_s:
            # It was this process that stood still: the answers may lie in the socket.
            continue
        late = [batch for batch in _waiting(producer) if now - batch._ctime > limit_s]
        if late:
            places = ", ".join(sorted({f"{batch.tp.topic}[{batch.tp.partition}]" for batch in late}))
            error = DeliveryTimeout(
                f"records for {places} not accepted by {broker.bootstrap!r} "
                f"within {limit_s:g} s (broker.delivery_timeout_s)"
            )
            log.error("giving up on the broker", extra={"reason": str(error)})
            producer._message_accumulator.fail_all(error)
            return


def _waiting(producer: AIOKafkaProducer) -> list[Any]:
    """All batches that the broker has not acknowledged."""
    accumulator = producer._message_accumulator
    return [*accumulator._pending_batches, *(batch for queue in accumulator._batches.values() for batch in queue)]


async def topic_known(producer: AIOKafkaProducer, broker: BrokerSettings, topic: str) -> None:
    """Wait until the topic's partitions are known; aiokafka gives up after a single request timeout.

    Raises DeliveryTimeout after `broker.delivery_timeout_s`.
    """
    until = time.monotonic() + broker.delivery_timeout_s
    while producer.client.cluster.partitions_for_topic(topic) is None:
        try:
            await producer.client._wait_on_metadata(topic)
        except UnknownTopicOrPartitionError:
            if time.monotonic() > until:
                raise DeliveryTimeout(
                    f"topic {topic!r} not found on {broker.bootstrap!r} "
                    f"within {broker.delivery_timeout_s:g} s (broker.delivery_timeout_s)"
                ) from None


async def disconnect(producer: AIOKafkaProducer) -> None:
    """Send what waits, or see it fail, and close. A broker that is away is then not waited for."""
    stopping = asyncio.ensure_future(producer.stop())
    while not stopping.done() and _waiting(producer) and producer._message_accumulator._exception is None:
        await asyncio.wait([stopping], timeout=0.1)
    await asyncio.wait([stopping], timeout=_CLOSE_WITHIN_S)
    if not stopping.done():
        # Requests under way end with their connection.
        await producer.client.close()
        await asyncio.wait([stopping], timeout=_CLOSE_WITHIN_S)
        stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
