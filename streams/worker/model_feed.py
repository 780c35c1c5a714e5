"""The newest published models, read from the compacted topic by every worker on its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from aiokafka import TopicPartition

from models.churn.record import InvalidModel
from models.churn.serving import ServingModel
from models.features import FEATURE_VERSION, FEATURES
from models.settings import Settings
from streams.topics import MODEL, topic_name
from streams.worker.changelog import assigned_consumer

log = logging.getLogger(__name__)


class ModelFeed:
    """Follows topic `model` for the keys of some models and hands over each valid new one.

    A record that fails its checks is refused and logged; the model in use stays.
    """

    def __init__(self, settings: Settings, keys: Iterable[str], use: Callable[[ServingModel], None]) -> None:
        self._settings = settings
        self._keys = {key.encode() for key in keys}
        self._use = use
        self.caught_up = asyncio.Event()
        self.refused = 0

    async def run(self) -> None:
        """Read until cancelled."""
        topic = topic_name(self._settings.broker, MODEL)
        tp = TopicPartition(topic, 0)
        async with assigned_consumer(self._settings.broker, topic, 0) as consumer:
            end = (await consumer.end_offsets([tp]))[tp]
            newest: dict[bytes, bytes] = {}
            while True:
                for records in (await consumer.getmany(tp, timeout_ms=500)).values():
                    newest |= {r.key: r.value for r in records if r.key in self._keys and r.value is not None}
                if await consumer.position(tp) >= end:
                    for raw in newest.values():
                        self._take(raw)
                    newest.clear()
                    self.caught_up.set()

    def _take(self, raw: bytes) -> None:
        try:
            model = ServingModel.from_record(raw)
            model.require(FEATURES, FEATURE_VERSION)
        except InvalidModel as exc:
            self.refused += 1
            log.error("refused a published model: %s", exc)
        else:
            self._use(model)
