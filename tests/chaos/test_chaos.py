"""A whole run on a real Apache Kafka, which is killed, too."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from app.chaos.run import Options, chaos_settings, run
from app.errors import AppError
from models.settings import BrokerSettings, Settings
from streams.embedded import EmbeddedBroker
from streams.topics import create_topics
from tests.brokers import KafkaServer

SEED, FAULTS, EVENTS = 11, 22, 200_000


@pytest.mark.kafka
def test_nothing_is_lost_doubled_or_mismatched(jars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Workers, trainer and broker are killed, stopped, added and removed; afterwards every number is right."""
    with KafkaServer(jars) as server:
        settings = Settings(data_dir=str(tmp_path), broker=BrokerSettings(bootstrap=server.bootstrap))
        options = Options(events=EVENTS, faults=FAULTS, seed=SEED, json=str(tmp_path / "result.json"))
        status = run(chaos_settings(settings), options, server)
    told = capsys.readouterr().out
    # The log of the faults belongs to the test's output: it is what one needs when this fails.
    print(told)
    result = msgspec.json.decode((tmp_path / "result.json").read_bytes())

    assert status == 0, told
    assert told.splitlines()[-1] == "0 lost, 0 doubled, 0 mismatched"
    assert len(result["faults"]) >= 20
    assert result["verdict"]["figures"]["distinct valid events"] == EVENTS
    assert result["verdict"]["figures"]["rerouted records"] > 0


def test_it_does_not_run_on_topics_that_exist(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """A cluster's own topics are never touched."""
    settings = chaos_settings(
        Settings(data_dir=str(tmp_path), broker=BrokerSettings(bootstrap=embedded_broker.bootstrap))
    )
    asyncio.run(create_topics(settings.broker))

    with pytest.raises(AppError, match="cannot run on topics that exist"):
        run(settings, Options(events=1000, faults=13))
    assert not (tmp_path / "logs").exists()
