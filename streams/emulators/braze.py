"""Braze's `/users/track`: Bearer key, 75 objects of a kind, row errors beside success, its own rate headers."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from streams.emulators.base import Answer, Call, Emulator
from streams.sync.rates import Window

_IDS = ("external_id", "braze_id", "email", "phone")
_MOST = 75


class BrazeEmulator(Emulator):
    """Keeps attributes by user; null removes one."""

    kind = "braze"
    summary = "Braze REST API, POST /users/track"
    windows: ClassVar[tuple[Window, ...]] = (Window(3_000, 3.0),)

    def options(self) -> dict[str, Any]:
        return super().options() | {"api_key": {"env": "EMULATED_KEY"}}

    def authorized(self, call: Call) -> bool:
        return call.headers.get("authorization") == f"Bearer {self.key}"

    def throttle(self, wait_s: float) -> Answer:
        reset = str(int(time.time() + wait_s + 1))
        headers = {"x-ratelimit-limit": "3000", "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
        return Answer(429, {"message": "rate limit exceeded"}, headers)

    def answer(self, call: Call) -> Answer:
        if (call.method, call.path) != ("POST", "/users/track"):
            return Answer(404, {"message": "no such path"})
        given = call.json if isinstance(call.json, dict) else {}
        attributes, events = given.get("attributes", []), given.get("events", [])
        if not len(attributes) + len(events) > 0 or max(len(attributes), len(events)) > _MOST:
            message = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
            return Answer(400, {"message": message})
        errors = [
            {"type": reason, "input_array": array, "index": index}
            for array, rows in (("attributes", attributes), ("events", events))
            for index, row in enumerate(rows)
            if (reason := self._take_row(row, array))
        ]
        body = {"message": "success", "attributes_processed": len(attributes), "events_processed": len(events)}
        return Answer(201, body | ({"errors": errors} if errors else {}))

    def _take_row(self, row: dict[str, Any], array: str) -> str:
        """Take one row; returns why not."""
        who = next((row[name] for name in _IDS if row.get(name)), None)
        if who is None:
            return "at least one of external_id, user_alias, braze_id, email, phone is required"
        if self.refuse(who):
            return "the user is blocked"
        if array == "events":
            if not row.get("name") or not row.get("time"):
                return "'name' and 'time' are required"
            self.events.append({"id": who, "name": row["name"], "properties": row.get("properties", {})})
            return ""
        told = {name: value for name, value in row.items() if name not in _IDS and not name.startswith("_")}
        self.keep(who, told)
        return ""


EMULATOR = BrazeEmulator
