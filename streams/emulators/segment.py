"""Segment's `/v1/batch`: Basic auth by write key, 500 kB, 2,500 messages of 32 kB, and 200 for what it drops later."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from streams.emulators.base import Answer, Call, Emulator
from streams.sync.rates import Window

_BATCH_BYTES, _MESSAGE_BYTES, _MESSAGES = 500_000, 32 * 1024, 2_500


class SegmentEmulator(Emulator):
    """Keeps traits by user, and each message once by its `messageId`."""

    kind = "segment"
    summary = "Segment HTTP API, POST /v1/batch"
    windows: ClassVar[tuple[Window, ...]] = (Window(1_000, 1.0),)
    refuses = "none"
    path: ClassVar[str] = "/v1/batch"
    batch_bytes: ClassVar[int] = _BATCH_BYTES

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._seen: set[str] = set()

    def options(self) -> dict[str, Any]:
        return super().options() | {"write_key": {"env": "EMULATED_KEY"}}

    def authorized(self, call: Call) -> bool:
        expected = base64.b64encode(f"{self.key}:".encode()).decode()
        return call.headers.get("authorization") == f"Basic {expected}"

    def answer(self, call: Call) -> Answer:
        if (call.method, call.path) != ("POST", self.path):
            return Answer(404, {"message": "no such path"})
        if len(call.body) > self.batch_bytes:
            return self.too_large()
        batch = call.json.get("batch") if isinstance(call.json, dict) else None
        if not isinstance(batch, list) or not 0 < len(batch) <= _MESSAGES:
            return Answer(400, {"success": False, "message": "malformed JSON"})
        for message in batch:
            self._accept(message)
        return Answer(200, {"success": True})

    def too_large(self) -> Answer:
        return Answer(400, {"success": False, "message": "exceeded message size limit"})

    def _accept(self, message: Any) -> None:
        user = message.get("userId") or message.get("anonymousId")
        if not user or not message.get("messageId") or message["messageId"] in self._seen:
            return
        self._seen.add(message["messageId"])
        if message.get("type") == "identify":
            self.keep(user, message.get("traits", {}))
        elif message.get("type") == "track":
            self.events.append({"id": user, "name": message.get("event"), "properties": message.get("properties", {})})


EMULATOR = SegmentEmulator
