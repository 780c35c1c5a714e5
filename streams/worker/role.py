"""The worker role: Faust agents over the event topics, one `Partition` per assigned partition number."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any, cast

from faust.types import TP

from models.churn.record import label_key
from models.labels import horizons_of
from models.settings import Settings
from streams.chunks import BatchProducer, Chunk, ChunkApp, chunk_app, chunk_topic, run_app
from streams.kafka import group_id
from streams.telemetry import Telemetry
from streams.topics import topic_name
from streams.worker.changelog import LogWatch
from streams.worker.intake import Intake
from streams.worker.keeper import Keeper
from streams.worker.model_feed import ModelFeed, Published
from streams.worker.partition import TOPICS, Partition, Services
from streams.worker.pulse import Pulse
from streams.worker.signals import WorkerSignals

log = logging.getLogger(__name__)

#: Most seconds that a revocation waits for the turns under way, and that a stop waits for local files.
_FINISH_WITHIN_S, _KEEP_WITHIN_S = 10.0, 30.0


class Worker:
    """Reads events, keeps the feature table, emits scores and matured examples."""

    name = "worker"

    def __init__(self, settings: Settings, telemetry: Telemetry) -> None:
        self._settings = settings
        self._intake = Intake(settings)
        self._signals = WorkerSignals(telemetry, self._intake)
        self._producer = BatchProducer(settings.broker)
        self._keeper = Keeper(settings, self._signals)
        self._pulse = Pulse(settings.broker.session_timeout_s)
        self._watch = LogWatch(settings.broker)
        self._services = Services(
            self._producer, self._intake, self._signals, self._keeper, self._pulse, self._watch.ends
        )
        self._models: dict[str, Published] = {}
        self._partitions: dict[int, tuple[Partition, asyncio.Task[None]]] = {}
        self._logical = {topic_name(settings.broker, logical): logical for logical in TOPICS}
        self._app: ChunkApp | None = None
        self._joined = False
        self._failed: asyncio.Future[None] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then settle and commit what was begun. Raises what made it fail."""
        self._failed = asyncio.get_running_loop().create_future()
        label = self._settings.label
        keys = [label_key(label.kind, days, label.gap_days) for days in horizons_of(label)]
        feed = ModelFeed(self._settings, keys, self._use_model)
        await self._producer.start()
        await self._watch.start()
        self._pulse.start()
        tasks = [asyncio.ensure_future(self._guard(feed.run()))]
        try:
            await self._first(feed.caught_up.wait(), self._failed)
            self._app = self._build_app()
            tasks.append(asyncio.ensure_future(self._guard(self._ticks())))
            await run_app(self._app, stop, self._failed)
        finally:
            for task in [*tasks, *(task for _, task in self._partitions.values())]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._pulse.stop()
            await self._keeper.close(_KEEP_WITHIN_S)
            await self._watch.stop()
            await self._producer.stop()

    def lag(self) -> dict[TP, int]:
        """Records not yet settled, by assigned partition; empty while nothing is assigned."""
        return self._app.lag() if self._app is not None else {}

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        """The live state of a customer held by this worker, as JSON types; None if it is not held here."""
        held = self._partitions.get(self._intake.home(customer_id))
        if held is None:
            return None
        facts = held[0].customer(customer_id)
        if facts is None:
            return None
        features = facts.pop("features")
        return {"customer_id": customer_id, "partition": held[0].number, "state": facts, "features": features}

    def _build_app(self) -> ChunkApp:
        app = chunk_app(self._settings, group_id(self._settings))
        app.on_revoke(self._release)
        app.on_partitions_assigned.connect(cast("Any", self._assigned))
        for real, logical in self._logical.items():
            app.agent(chunk_topic(app, real), name=f"{logical}-agent")(self._consume)
        return app

    async def _consume(self, stream: Any) -> None:
        """The agent: every chunk goes to its partition; acknowledging is the partition's part."""
        async for event in stream.noack().events():
            chunk: Chunk = event.value
            held = self._partitions.get(chunk.partition)
            if held is None:
                # Taken away between fetch and delivery: its next owner reads it again.
                continue
            try:
                held[0].put(chunk, self._logical[chunk.topic], event)
            except Exception as exc:
                self._fail(exc)
                raise

    async def _assigned(self, _app: Any, assigned: set[TP], **_: Any) -> None:
        self._joined = True
        for number in sorted({tp.partition for tp in assigned}):
            if number not in self._partitions:
                partition = Partition(
                    number, self._settings, self._services, self._models.values, partial(self._quiet, number)
                )
                self._signals.restoring(number, 0, 0)
                self._partitions[number] = (partition, asyncio.ensure_future(self._guard(partition.run())))

    def _quiet(self, number: int, logical: str, since: float) -> bool:
        return self._app is None or self._app.quiet(topic_name(self._settings.broker, logical), number, since)

    async def _release(self, _revoked: set[TP]) -> None:
        """Settle, keep and drop all partitions: a rebalance takes everything, and state is read again if it returns."""
        released, self._partitions = self._partitions, {}
        tasks = [task for _, task in released.values()]
        for partition, task in released.values():
            if not partition.finish():
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=min(_FINISH_WITHIN_S, self._settings.broker.rebalance_timeout_s / 4))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for number, (partition, _) in released.items():
            await partition.drain()
            self._signals.forget(number)

    async def _ticks(self) -> None:
        while True:
            await asyncio.sleep(self._settings.worker.tick_s)
            for partition, _ in self._partitions.values():
                partition.wake()
            lag = {(self._logical[tp.topic], tp.partition): records for tp, records in self.lag().items()}
            self._signals.tick(lag, joined=self._joined and self._app is not None and self._app.in_touch())

    def _use_model(self, published: Published) -> None:
        model = published.model
        log.info("serving model %s (%s), move %d", model.version, model.champion, published.move)
        self._models[model.key] = published

    async def _guard(self, work: Any) -> None:
        try:
            await work
        except Exception as exc:  # noqa: BLE001 - passed on through the future that ends the role
            self._fail(exc)

    def _fail(self, exc: Exception) -> None:
        log.error("worker fails: %r", exc, exc_info=exc)
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(exc)

    @staticmethod
    async def _first(waiting: Any, failed: asyncio.Future[None]) -> None:
        task = asyncio.ensure_future(waiting)
        await asyncio.wait({task, failed}, return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        if failed.done():
            failed.result()
