"""What a partition's turns produce, made durable in an order that loses nothing.

A turn's outputs - scores, examples, quarantine and re-routed records - are sent at once, its states only when the
outputs are acknowledged. A state says what was told; if it became durable first, a crash before the outputs would
swallow them: the events, read again, would be known already. The other way round they are told twice, with the same
ids. When the states are acknowledged too, the turn's chunks are - in the order of the turns.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from models.settings import BrokerSettings
from streams.chunks import BatchProducer, Outgoing, ack, wait_all
from streams.topics import CHANGELOG, SCORES, topic_name
from streams.worker.align import Batch
from streams.worker.ownership import Ownership

_MAX_UNSETTLED = 4
Sent = list[tuple[asyncio.Future[Any], int]]
Place = tuple[str, int]


class _Turn:
    """One turn on its way."""

    __slots__ = ("batches", "clock", "outputs", "scores", "sent", "states")

    def __init__(self, outputs: Sent, scores: Sent, states: list[Outgoing], batches: list[Batch], clock: float) -> None:
        self.clock = clock
        self.outputs = outputs
        self.scores = scores
        self.states = states
        self.sent: Sent | None = None
        self.batches = batches

    @property
    def told(self) -> bool:
        """Whether all outputs are acknowledged, or one failed."""
        return all(future.done() for future, _ in (*self.outputs, *self.scores))


class Outbox:
    """Sends for one partition. A task of its own follows the turns, so that a new one can begin meanwhile.

    `guard` is called before anything is sent and raises if nothing may be; `settled` after a turn is durable.
    Failed sends are raised by the next call, and nothing behind them is acknowledged.
    """

    def __init__(
        self, broker: BrokerSettings, ownership: Ownership, producer: BatchProducer,
        guard: Callable[[], None], settled: Callable[[], None],
    ) -> None:  # fmt: skip
        self._broker = broker
        self._ownership = ownership
        self._producer = producer
        self._guard = guard
        self._settled = settled
        self.durable_until = -math.inf
        self._turns: deque[_Turn] = deque()
        self._moved = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    async def put(
        self, outputs: dict[Place, list[Outgoing]], states: list[Outgoing], batches: list[Batch], clock: float
    ) -> None:
        """Send a turn's outputs now and its states in time. Waits while too many turns are unsettled.

        `clock` (epoch seconds) is that of the turn's last flush; `durable_until` tells it when all is durable.
        """
        await self.settle(_MAX_UNSETTLED - 1)
        self._guard()
        told: Sent = []
        scores: Sent = []
        for (logical, partition), records in outputs.items():
            sent = await self._send(logical, partition, records)
            (scores if logical == SCORES else told).extend(sent)
        self._turns.append(_Turn(told, scores, states, batches, clock))
        if self._following is None or self._following.done():
            self.check()
            self._following = asyncio.create_task(self._follow(), name="follow sends")

    async def settle(self, keep: int = 0) -> None:
        """Wait until at most `keep` turns are unsettled. Their chunks are acknowledged in order."""
        self.check()
        while len(self._turns) > keep:
            self._moved.clear()
            await self._moved.wait()
            self.check()

    def check(self) -> None:
        """Raise what made a send fail, if one has."""
        if self._following is not None and self._following.done():
            self._following.result()

    async def close(self) -> None:
        """Follow no sends any more."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])

    async def _follow(self) -> None:
        try:
            while self._turns:
                turn = self._turns[0]
                await _wait((*turn.outputs, *turn.scores))
                await self._send_ready_states()
                await _wait(turn.sent or ())
                self._turns.popleft()
                self._note(turn)
                self.durable_until = max(self.durable_until, turn.clock)
                for batch in turn.batches:
                    ack(batch.faust_event)
                self._settled()
                self._moved.set()
        finally:
            self._moved.set()

    async def _send_ready_states(self) -> None:
        # A copy: the next turn may be put behind them while one is sent.
        for turn in list(self._turns):
            if turn.sent is not None:
                continue
            if not turn.told:
                return
            await _wait((*turn.outputs, *turn.scores))
            self._guard()
            turn.sent = await self._send(CHANGELOG, self._ownership.number, turn.states) if turn.states else []

    async def _send(self, logical: str, partition: int, records: Iterable[Outgoing]) -> Sent:
        return await self._producer.send_counted(topic_name(self._broker, logical), partition, records)

    def _note(self, turn: _Turn) -> None:
        for logical, sent in ((SCORES, turn.scores), (CHANGELOG, turn.sent or [])):
            for future, count in sent:
                offset = future.result().offset
                # A broker that knows a batch already, sent again in an outage, need not say where it lies.
                if offset >= 0:
                    self._ownership.lanes[logical].wrote(offset, count)


async def _wait(sent: Iterable[tuple[asyncio.Future[Any], int]]) -> None:
    await wait_all(future for future, _ in sent)
