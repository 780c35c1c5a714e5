"""The newest published models, read from the compacted topic by every worker on its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from models.churn.record import InvalidModel
from models.churn.serving import ServingModel
from models.features import FEATURE_VERSION, FEATURES
from models.forecast import Forecaster
from models.settings import Settings
from streams.topics import MODEL, topic_name
from streams.worker.changelog import assigned_consumer

log = logging.getLogger(__name__)


#: Header of a published model: how often what is served was changed, by promotion or by command.
MOVED_HEADER = "moved"


class Published(NamedTuple):
    """A published model, and the number of the move that it came with."""

    model: ServingModel
    move: int


def use_models(published: Iterable[Published], models: Forecaster, moves: dict[str, int]) -> bool:
    """Let a forecaster take the newest models; True if other ones than before serve now, and not only grown ones.

    `moves` keeps the number of the last move by label key.
    """
    moved = False
    for model, move in published:
        moved |= models.use(model) or moves.get(model.key, move) != move
        moves[model.key] = move
    return moved


class ModelFeed:
    """Follows topic `model` for the keys of some models and hands over each valid new one.

    A record that fails its checks is refused and logged; the model in use stays.
    """

    def __init__(self, settings: Settings, keys: Iterable[str], use: Callable[[Published], None]) -> None:
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
            newest: dict[bytes, Any] = {}
            while True:
                for records in (await consumer.getmany(tp, timeout_ms=500)).values():
                    newest |= {r.key: r for r in records if r.key in self._keys and r.value is not None}
                if await consumer.position(tp) >= end:
                    for record in newest.values():
                        self._take(record)
                    newest.clear()
                    self.caught_up.set()

    def _take(self, record: Any) -> None:
        try:
            model = ServingModel.from_record(record.value)
            model.require(FEATURES, FEATURE_VERSION)
        except InvalidModel as exc:
            self.refused += 1
            log.error("refused a published model: %s", exc)
        else:
            self._use(Published(model, _move(record.headers)))


def _move(headers: Iterable[tuple[str, bytes]]) -> int:
    """The number in the header; 0 without one."""
    text = dict(headers).get(MOVED_HEADER, b"")
    return int(text) if text.isdigit() else 0
