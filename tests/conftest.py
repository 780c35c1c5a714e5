"""Fixtures that all tests share: brokers, and settings for one test on them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from models.settings import BrokerSettings
from streams.embedded import EmbeddedBroker
from streams.topics import create_topics
from tests.brokers import KafkaServer, KafkaUnavailable, broker_settings, kafka_jars, required_here

# How long an example takes says more about the machine than about the code.
settings.register_profile("ebbtide", deadline=None)
settings.load_profile("ebbtide")


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """The embedded broker, one for the whole test run."""
    with EmbeddedBroker(log_path=tmp_path_factory.mktemp("embedded") / "broker.log") as broker:
        yield broker


@pytest.fixture(scope="session")
def jars() -> Path:
    """Apache Kafka's jars; tests that need them are skipped where they cannot be had, except in CI."""
    try:
        return kafka_jars()
    except KafkaUnavailable as error:
        if required_here():
            raise
        pytest.skip(f"no Apache Kafka here: {error}")


@pytest.fixture(scope="session")
def kafka_broker(jars: Path) -> Iterator[KafkaServer]:
    """A real Apache Kafka, one for the whole test run. Tests that stop it make their own from `jars`."""
    with KafkaServer(jars) as server:
        yield server


@pytest.fixture(params=["embedded_broker", pytest.param("kafka_broker", marks=pytest.mark.kafka)])
def bare_broker(request: pytest.FixtureRequest) -> BrokerSettings:
    """Settings of each kind of broker in turn, with a topic prefix of their own and no topics yet."""
    return broker_settings(request.getfixturevalue(request.param))


@pytest.fixture
def broker(bare_broker: BrokerSettings) -> BrokerSettings:
    """Settings of each kind of broker in turn, with all topics made for this test alone."""
    asyncio.run(create_topics(bare_broker))
    return bare_broker
