"""Klaviyo's profile-import and events: its own scheme of keys, JSON:API, two windows, Retry-After on 429."""

from __future__ import annotations

from typing import Any, ClassVar

from streams.emulators.base import Answer, Call, Emulator
from streams.sync.rates import Window

_BYTES = 100_000


class KlaviyoEmulator(Emulator):
    """Keeps properties by profile, null clears one; each event once by its unique id."""

    kind = "klaviyo"
    summary = "Klaviyo API, POST /api/profile-import and /api/events"
    windows: ClassVar[tuple[Window, ...]] = (Window(75, 1.0), Window(750, 60.0))
    refuses = "whole"

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._seen: set[str] = set()

    def options(self) -> dict[str, Any]:
        return super().options() | {"api_key": {"env": "EMULATED_KEY"}}

    def authorized(self, call: Call) -> bool:
        return call.headers.get("authorization") == f"Klaviyo-API-Key {self.key}"

    def answer(self, call: Call) -> Answer:
        data = call.json.get("data") if isinstance(call.json, dict) else None
        media = call.headers.get("content-type") == "application/vnd.api+json" and call.headers.get("revision")
        if call.method != "POST" or not media or not isinstance(data, dict):
            return _wrong("a JSON:API document with a revision is required")
        if len(call.body) > _BYTES:
            return Answer(413, {"errors": [{"detail": "payload too large"}]})
        attributes = data["attributes"]
        if (call.path, data["type"]) == ("/api/profile-import", "profile"):
            return self._profile(attributes)
        if (call.path, data["type"]) == ("/api/events", "event"):
            return self._event(attributes)
        return Answer(404, {"errors": [{"detail": "no such path"}]})

    def _profile(self, attributes: dict[str, Any]) -> Answer:
        who = _who(attributes)
        if not who or self.refuse(who):
            return _wrong("invalid identifier")
        new = who not in self.profiles
        self.keep(who, attributes.get("properties", {}))
        return Answer(201 if new else 200, {"data": {"type": "profile", "id": who}})

    def _event(self, attributes: dict[str, Any]) -> Answer:
        who = _who(attributes["profile"]["data"]["attributes"])
        if not who or self.refuse(who):
            return _wrong("invalid identifier")
        name = attributes["metric"]["data"]["attributes"]["name"]
        if attributes["unique_id"] not in self._seen:
            self._seen.add(attributes["unique_id"])
            self.events.append({"id": who, "name": name, "properties": attributes["properties"]})
        return Answer(202)


def _who(attributes: dict[str, Any]) -> str:
    return str(next((attributes[name] for name in ("external_id", "email", "phone_number") if name in attributes), ""))


def _wrong(detail: str) -> Answer:
    return Answer(400, {"errors": [{"code": "invalid", "detail": detail}]})


EMULATOR = KlaviyoEmulator
