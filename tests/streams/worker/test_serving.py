"""What the worker does with published models, and with a defect of its own."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import msgspec
import orjson

from models.engine import Engine
from models.records import Score
from models.settings import BrokerSettings
from streams.chunks import Outgoing
from streams.topics import MODEL, PURCHASES, QUARANTINE, SCORES
from tests.streams.trainer.samples import HASTY, LABEL, Subject, encoded, records
from tests.streams.worker.test_worker import START, keyed, read_all, running, send, settings_for, settled


def order(customer: str, second: int) -> tuple[str, dict[str, Any]]:
    event = {"type": "track", "event": "Order Completed", "userId": customer, "properties": {"total": 5}}
    return PURCHASES, event | {"timestamp": START + second, "messageId": f"{customer}-{second}"}


async def scores(broker: BrokerSettings) -> list[Score]:
    return [msgspec.json.decode(r.value, type=Score) for r in await read_all(broker, SCORES, broker.partitions)]


def test_a_published_model_is_served_and_a_broken_one_is_refused(broker: BrokerSettings) -> None:
    """Scores come from the newest valid model of the label; damaged bytes and other labels change nothing."""

    async def scenario() -> None:
        settings = msgspec.structs.replace(settings_for(broker), label=LABEL)
        core = Subject(msgspec.structs.replace(settings, trainer=HASTY))
        core.take(records(encoded(1200)), now=0.0)
        [model] = [record for record in core.publication() if record.key == core.first.key.encode()]
        value = model.value or b""
        broken = Outgoing(model.key, value.replace(b'"rate":0.', b'"rate":0.0'))
        other = Outgoing(b"cancellation-7d", b"not even JSON")
        await send(broker, [(MODEL, 0, record) for record in (model, broken, other)])
        async with running(settings) as (worker, _):
            await send(broker, keyed([order(f"c{i}", i) for i in range(40)]))
            await settled(worker)
        first = {score.model.name for score in await scores(broker)}
        await send(broker, [(MODEL, 0, model)])
        async with running(settings) as (worker, _):
            await send(broker, keyed([order(f"d{i}", 100 + i) for i in range(40)]))
            await settled(worker)
        second = {score.model.name for score in await scores(broker) if score.customer_id.startswith("d")}

        assert broken.value != value
        assert (first, second) == ({"rule"}, {"logistic"})
        served = next(score for score in await scores(broker) if score.model.name == "logistic")
        assert served.model.version == core.first.model().version
        assert served.reasons

    asyncio.run(scenario())


def test_a_defect_of_ours_on_one_event_goes_to_quarantine_and_the_worker_goes_on(
    embedded_settings: BrokerSettings,
) -> None:
    """An exception while applying an event keeps the event, with where it came from and the traceback."""

    async def scenario() -> None:
        applied = Engine.apply

        def apply(self: Engine, event: Any, *origin: Any) -> str:
            if event.customer_id == "boom":
                raise ZeroDivisionError("a defect")
            return applied(self, event, *origin)

        await send(embedded_settings, keyed([order("fine", 1), order("boom", 2), order("also", 3)]))
        with patch.object(Engine, "apply", apply):
            async with running(settings_for(embedded_settings)) as (worker, _):
                await settled(worker)
        [record] = [orjson.loads(r.value) for r in await read_all(embedded_settings, QUARANTINE, 1)]

        assert (record["reason"], record["topic"]) == ("internal_error", PURCHASES)
        assert "ZeroDivisionError: a defect" in record["detail"]
        assert {score.customer_id for score in await scores(embedded_settings)} == {"fine", "also"}

    asyncio.run(scenario())
