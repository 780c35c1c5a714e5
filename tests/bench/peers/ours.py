"""The small job on `streams.chunks`: a dictionary as state, a chunk scored at once, durable before the ack.

Tuned by two settings: larger chunks, and zstd, which aiokafka compresses with several times faster than with lz4.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import numpy as np
import orjson
import uvloop

from models.settings import BrokerSettings, Settings, WorkerSettings
from streams.chunks import BatchProducer, Chunk, Outgoing, ack, chunk_app, chunk_topic, run_app, wait_all
from tests.bench import job

#: Chunks that may wait for the broker while the next are computed.
_UNSETTLED = 4
_WEIGHTS = np.array(job.WEIGHTS)


class Job:
    """One worker: all partitions of one process."""

    def __init__(self, task: job.Task) -> None:
        broker = BrokerSettings(
            bootstrap=task.bootstrap, partitions=task.partitions, compression="zstd", session_timeout_s=6.0
        )
        self._settings = Settings(broker=broker, worker=WorkerSettings(chunk_records=5000))
        self._task = task
        self._producer = BatchProducer(broker)
        self._states: dict[str, job.State] = {}
        self._unsettled: asyncio.Queue[tuple[list[asyncio.Future[Any]], Any]] = asyncio.Queue(_UNSETTLED)
        self._start = job.Start(task)

    async def run(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        await self._producer.start()
        app = chunk_app(self._settings, self._task.group)
        app.agent(chunk_topic(app, self._task.events))(self._consume)
        failed: asyncio.Future[None] = loop.create_future()
        settling = asyncio.ensure_future(self._settle(failed))
        await run_app(app, stop, failed)
        settling.cancel()
        await self._producer.stop()

    async def _consume(self, stream: Any) -> None:
        async for event in stream.noack().events():
            self._start.mark()
            futures = await self._work(event.value)
            await self._unsettled.put((futures, event))

    async def _settle(self, failed: asyncio.Future[None]) -> None:
        """Acknowledge each chunk when its effects are durable; end the program if they cannot be made so."""
        try:
            while True:
                futures, event = await self._unsettled.get()
                await wait_all(futures)
                ack(event)
        except Exception as error:
            failed.set_exception(error)

    async def _work(self, chunk: Chunk) -> list[asyncio.Future[Any]]:
        """Update the states, score all events at once, and send; the futures end when the broker has everything."""
        states, after, customers = self._states, [], []
        for record in chunk.records:
            said = orjson.loads(record.value)
            customer = said["userId"]
            state = states[customer] = job.update(states.get(customer), said)
            after.append(state)
            customers.append(customer)
        table = np.array(after)
        scores = [
            Outgoing(record.key, orjson.dumps(job.message(customer, state, probability)))
            for record, customer, state, probability in zip(
                chunk.records, customers, after, probabilities(table).tolist(), strict=True
            )
        ]
        changed = [Outgoing(customer.encode(), orjson.dumps(states[customer])) for customer in dict.fromkeys(customers)]
        futures = await self._producer.send(self._task.changelog, chunk.partition, changed)
        futures += await self._producer.send(self._task.scores, chunk.partition, scores)
        return futures


def probabilities(table: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The scores of many states at once, one row each."""
    count, orders, cents, first, last, gap = table.T
    columns = (np.log1p(count), np.log1p(orders), np.log1p(cents / 100), (count - orders) / count, gap)
    features = np.column_stack([*columns, (last - first) / 86_400])
    scores: np.ndarray[Any, Any] = 1 / (1 + np.exp(-(features @ _WEIGHTS + job.INTERCEPT)))
    return scores


if __name__ == "__main__":
    job.calm_collector()
    uvloop.run(Job(job.Task.parse(sys.argv)).run())
