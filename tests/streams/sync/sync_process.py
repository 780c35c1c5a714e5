"""A sync role in a process of its own, to be killed. Argument: the settings as JSON."""

from __future__ import annotations

import asyncio
import sys

import msgspec

from models.settings import Settings
from streams.sync.role import Sync
from streams.telemetry import Telemetry

if __name__ == "__main__":
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    asyncio.run(Sync(settings, Telemetry("sync")).run(asyncio.Event()))
