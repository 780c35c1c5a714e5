"""Iterable's bulkUpdate and trackBulk: `Api-Key`, 4 MB, 200 with the users that were not taken."""

from __future__ import annotations

from typing import Any, ClassVar

from streams.emulators.base import Answer, Call, Emulator
from streams.sync.rates import Window

_BYTES = 4_000_000


class IterableEmulator(Emulator):
    """Keeps data fields by user, and each event once by its id."""

    kind = "iterable"
    summary = "Iterable API, POST /api/users/bulkUpdate and /api/events/trackBulk"
    windows: ClassVar[tuple[Window, ...]] = (Window(5, 1.0),)

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._seen: set[str] = set()

    def options(self) -> dict[str, Any]:
        return super().options() | {"api_key": {"env": "EMULATED_KEY"}}

    def authorized(self, call: Call) -> bool:
        return call.headers.get("api-key") == self.key

    def answer(self, call: Call) -> Answer:
        key = {"/api/users/bulkUpdate": "users", "/api/events/trackBulk": "events"}.get(call.path)
        if key is None or call.method != "POST":
            return Answer(404, {"code": "NotFound", "msg": "no such path", "params": None})
        if len(call.body) > _BYTES:
            return Answer(413, {"code": "RequestTooLarge", "msg": "payload too large", "params": None})
        rows = call.json.get(key) if isinstance(call.json, dict) else None
        if not isinstance(rows, list) or not rows:
            return Answer(400, {"code": "BadJsonBody", "msg": f"{key} is missing", "params": None})
        failed = [who for row in rows if (who := self._take_row(row, key)) is not None]
        body = {
            "successCount": len(rows) - len(failed),
            "failCount": len(failed),
            "invalidEmails": [],
            "invalidUserIds": [],
            "failedUpdates": {"forgottenUserIds": failed, "forgottenEmails": []},
        }
        return Answer(200, body)

    def _take_row(self, row: dict[str, Any], key: str) -> str | None:
        """Take one row; returns whom it did not take."""
        who = str(row.get("userId") or row.get("email") or "")
        if not who or self.refuse(who):
            return who
        if key == "users":
            self.keep(who, row["dataFields"])
        elif row["id"] not in self._seen:
            self._seen.add(row["id"])
            self.events.append({"id": who, "name": row["eventName"], "properties": row["dataFields"]})
        return None


EMULATOR = IterableEmulator
