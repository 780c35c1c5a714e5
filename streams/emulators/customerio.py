"""Customer.io's `/api/v2/batch`: Basic auth, 500 kB, 32 kB a row, 207 with the rows that were not taken."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

import orjson

from streams.emulators.base import Answer, Call, Emulator
from streams.sync.rates import Window

_SITE = "emulated-site"
_BATCH_BYTES, _ROW_BYTES, _VALUE_BYTES = 500_000, 32_000, 1_000


class CustomerIoEmulator(Emulator):
    """Keeps attributes by person, and each event once by its id."""

    kind = "customerio"
    summary = "Customer.io Track API, POST /api/v2/batch"
    windows: ClassVar[tuple[Window, ...]] = (Window(3_000, 3.0),)

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._seen: set[str] = set()

    def options(self) -> dict[str, Any]:
        return super().options() | {"site_id": _SITE, "api_key": {"env": "EMULATED_KEY"}}

    def authorized(self, call: Call) -> bool:
        expected = base64.b64encode(f"{_SITE}:{self.key}".encode()).decode()
        return call.headers.get("authorization") == f"Basic {expected}"

    def answer(self, call: Call) -> Answer:
        if (call.method, call.path) != ("POST", "/api/v2/batch"):
            return Answer(404, {"meta": {"error": "not found"}})
        if len(call.body) > _BATCH_BYTES:
            return Answer(413, {"meta": {"error": "payload too large"}})
        rows = call.json.get("batch") if isinstance(call.json, dict) else None
        if not isinstance(rows, list) or not rows:
            return Answer(400, {"meta": {"error": "batch must be an array"}})
        errors = [
            {"batch_index": index, "reason": "invalid", "field": field, "message": f"{field} is not valid"}
            for index, row in enumerate(rows)
            if (field := self._take_row(row))
        ]
        return Answer(207, {"errors": errors}) if errors else Answer(200, {})

    def _take_row(self, row: dict[str, Any]) -> str:
        """Take one row; returns the field that is wrong."""
        who = next(iter(row.get("identifiers", {}).values()), None)
        attributes = row.get("attributes", {})
        if row.get("type") != "person" or not who or self.refuse(who):
            return "identifiers.id"
        if len(orjson.dumps(row)) > _ROW_BYTES or any(len(str(v).encode()) > _VALUE_BYTES for v in attributes.values()):
            return "attributes"
        if row.get("action") == "identify":
            self.keep(who, attributes)
        elif row.get("action") == "event" and row.get("name"):
            if row.get("id") not in self._seen:
                self.events.append({"id": who, "name": row["name"], "properties": attributes})
            self._seen.add(row.get("id", ""))
        else:
            return "action"
        return ""


EMULATOR = CustomerIoEmulator
