"""A trainer in a process of its own that kills itself at a named point.

Arguments: the settings as JSON, the point (`learned`: examples learned, not published; `published`: published, not
acknowledged), and the offset from which on it does so.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from models.settings import Settings
from streams.chunks import Outgoing
from streams.telemetry import Telemetry
from streams.topics import MODEL
from streams.trainer import Trainer

SETTINGS, POINT, OFFSET = sys.argv[1], sys.argv[2], int(sys.argv[3])


class DoomedTrainer(Trainer):
    """Ends without any chance to clean up, as in a crash of the machine."""

    async def _learn(self, event: Any) -> None:
        await super()._learn(event)
        if self._core is not None and self._core.unpublished:
            self._die("learned")

    async def _send(self, logical: str, records: Sequence[Outgoing]) -> None:
        await super()._send(logical, records)
        if logical == MODEL:
            self._die("published")

    def _die(self, point: str) -> None:
        if point == POINT and self._core is not None and self._core.offset >= OFFSET:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    trainer = DoomedTrainer(msgspec.json.decode(SETTINGS, type=Settings), Telemetry("trainer"))
    asyncio.run(trainer.run(asyncio.Event()))
