"""Fixtures of the worker's tests."""

from __future__ import annotations

import asyncio

import pytest

from models.settings import BrokerSettings
from streams.embedded import EmbeddedBroker
from streams.topics import create_topics
from tests.brokers import broker_settings


@pytest.fixture
def embedded_settings(embedded_broker: EmbeddedBroker) -> BrokerSettings:
    """The embedded broker alone, with topics of this test."""
    settings = broker_settings(embedded_broker)
    asyncio.run(create_topics(settings))
    return settings
