"""Fixtures of the verifier's tests."""

from __future__ import annotations

import asyncio

import pytest

from models.settings import BrokerSettings
from streams.topics import create_topics
from tests.brokers import KafkaServer, broker_settings


@pytest.fixture
def kafka_deployment(kafka_broker: KafkaServer) -> BrokerSettings:
    """Apache Kafka alone, with topics of this test."""
    settings = broker_settings(kafka_broker)
    asyncio.run(create_topics(settings))
    return settings
