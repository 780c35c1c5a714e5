"""HubSpot's contacts upsert: Bearer token, 100 inputs without repeated ids, texts alone, 207 by trace id."""

from __future__ import annotations

from typing import Any, ClassVar

from streams.emulators.base import Answer, Call, Emulator
from streams.sync.rates import Window

_PATH = "/crm/v3/objects/contacts/batch/upsert"
_MOST = 100


class HubSpotEmulator(Emulator):
    """Keeps properties by contact; an empty text clears one."""

    kind = "hubspot"
    summary = f"HubSpot CRM API, POST {_PATH}"
    windows: ClassVar[tuple[Window, ...]] = (Window(100, 10.0),)

    def options(self) -> dict[str, Any]:
        return super().options() | {"token": {"env": "EMULATED_KEY"}}

    def authorized(self, call: Call) -> bool:
        return call.headers.get("authorization") == f"Bearer {self.key}"

    def answer(self, call: Call) -> Answer:
        if (call.method, call.path) != ("POST", _PATH):
            return Answer(404, {"status": "error", "message": "no such path"})
        rows = call.json.get("inputs") if isinstance(call.json, dict) else None
        if not isinstance(rows, list) or not 0 < len(rows) <= _MOST:
            return _wrong(f"inputs: allowed: 1 to {_MOST}")
        if len({row["id"].lower() for row in rows}) < len(rows):
            return _wrong("duplicate ids in the batch")
        if not all(isinstance(value, str) for row in rows for value in row["properties"].values()):
            return _wrong("property values must be texts")
        errors = []
        for row in rows:
            if self.refuse(row["id"]):
                context = {"objectWriteTraceId": [row["objectWriteTraceId"]]}
                told = {"status": "error", "category": "VALIDATION_ERROR", "message": "email is invalid"}
                errors.append(told | {"context": context})
            else:
                self.keep(row["id"], {name: value or None for name, value in row["properties"].items()})
        body: dict[str, Any] = {"status": "COMPLETE", "results": [{"id": row["id"]} for row in rows]}
        if not errors:
            return Answer(200, body)
        return Answer(207, body | {"numErrors": len(errors), "errors": errors})


def _wrong(message: str) -> Answer:
    return Answer(400, {"status": "error", "category": "VALIDATION_ERROR", "message": message})


EMULATOR = HubSpotEmulator
