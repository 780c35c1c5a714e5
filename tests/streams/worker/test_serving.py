"""What the worker does with published models, and with a defect of its own."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from unittest.mock import patch

import msgspec
import orjson

from models.churn.control import Control
from models.churn.serving import ServingModel
from models.engine import Engine
from models.features import FEATURE_VERSION, FEATURES
from models.forecast import Forecaster
from models.records import Score
from models.settings import BrokerSettings, ScoreSettings
from streams.chunks import Outgoing
from streams.steer import command, read_models
from streams.topics import EXAMPLES, MODEL, PURCHASES, QUARANTINE, SCORES
from streams.worker.model_feed import Published, use_models
from tests.streams.trainer.samples import HASTY, LABEL, Subject, encoded, records
from tests.streams.trainer.test_role import running as trainer_running
from tests.streams.worker.test_worker import START, keyed, read_all, running, send, settings_for, settled, until


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


def test_a_rollback_reaches_the_workers_and_scores_everybody_again(broker: BrokerSettings) -> None:
    """Without any event all customers are told anew by the version that was gone back to, and again after `auto`."""

    async def scenario() -> tuple[set[str], list[set[str]]]:
        settings = msgspec.structs.replace(
            settings_for(broker, "wall"), label=LABEL, trainer=HASTY, score=ScoreSettings(min_change=0.0)
        )
        now = time.time()
        orders = [
            ("purchases", event | {"timestamp": now - 3600.0}) for _, event in (order(f"c{i}", i) for i in range(40))
        ]
        async with trainer_running(settings) as trained, running(settings) as (worker, _):
            await send(broker, [(EXAMPLES, 0, Outgoing(b"c", value)) for value in encoded(1300)])
            await until(lambda: trained.status.get("served") == "logistic")
            await send(broker, keyed(orders))
            await settled(worker)

            async def told_by(name: str) -> set[str]:
                """The versions of the scores that all customers were last told, once they are of that model."""
                while True:
                    newest = {score.customer_id: score.model for score in await scores(broker)}
                    if len(newest) == 40 and {model.name for model in newest.values()} == {name}:
                        return {model.version for model in newest.values()}
                    await asyncio.sleep(0.1)

            async with asyncio.timeout(60):
                await told_by("logistic")
                seen = []
                for action, name in (("rollback", "rule"), ("auto", "logistic")):
                    answer = await command(settings.broker, Control(control=action, key="inactivity-30d"), 30.0)  # type: ignore[arg-type]
                    assert answer is not None
                    assert answer.done
                    seen.append(await told_by(name))
                told = await read_models(settings.broker, "inactivity-30d")
        assert told is not None
        return {one.version for one in told.history.versions.kept if one.champion == "rule"}, seen

    kept, (rolled_back, after) = asyncio.run(scenario())

    assert len(rolled_back) == 1
    assert rolled_back <= kept
    assert len(after) == 1


def test_a_move_within_one_kind_of_model_is_a_move() -> None:
    """Whoever is told of a pinned version of the same kind scores again; a grown model alone is no reason to."""
    label = msgspec.structs.replace(LABEL, other_horizons_days=(7.0,))
    first, second = (ServingModel.initial(FEATURES, FEATURE_VERSION, label, days) for days in (30.0, 7.0))
    models, moves = Forecaster(label, first, {7.0: second}), dict[str, int]()
    said = [
        use_models([Published(first, move), Published(second, other)], models, moves)
        for move, other in ((3, 0), (3, 0), (4, 0), (4, 1), (4, 1))
    ]

    assert said == [False, False, True, True, False]


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
