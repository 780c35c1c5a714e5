"""Intercom's `/events`: Bearer token, a version, 202, and windows of ten seconds with their headers."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from streams.emulators.base import Answer, Call, Emulator
from streams.sync.rates import Window


class IntercomEmulator(Emulator):
    """Keeps what happened; Intercom does not drop an event that it gets twice."""

    kind = "intercom"
    summary = "Intercom REST API, POST /events"
    windows: ClassVar[tuple[Window, ...]] = (Window(1_666, 10.0),)
    refuses = "whole"

    def options(self) -> dict[str, Any]:
        return super().options() | {"token": {"env": "EMULATED_KEY"}}

    def authorized(self, call: Call) -> bool:
        return call.headers.get("authorization") == f"Bearer {self.key}"

    def throttle(self, wait_s: float) -> Answer:
        reset = str(int(time.time() + wait_s + 1))
        headers = {"x-ratelimit-limit": "1666", "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
        return Answer(429, {"type": "error.list", "errors": [{"code": "rate_limit_exceeded"}]}, headers)

    def answer(self, call: Call) -> Answer:
        if (call.method, call.path) != ("POST", "/events") or not isinstance(call.json, dict):
            return Answer(404, {"type": "error.list", "errors": [{"code": "not_found"}]})
        event = call.json
        who = event.get("user_id") or event.get("email")
        if not who or not event.get("event_name") or not isinstance(event.get("created_at"), int):
            return Answer(400, {"type": "error.list", "errors": [{"code": "parameter_invalid"}]})
        if self.refuse(who):
            return Answer(404, {"type": "error.list", "errors": [{"code": "not_found", "message": "User Not Found"}]})
        self.events.append({"id": who, "name": event["event_name"], "properties": event.get("metadata", {})})
        return Answer(202)


EMULATOR = IntercomEmulator
