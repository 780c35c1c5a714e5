"""Slack's incoming webhooks: one message a second, `ok` or a word that says what is wrong."""

from __future__ import annotations

from typing import Any, ClassVar

from streams.emulators.base import Answer, Call, Emulator
from streams.sync.rates import Window


class SlackEmulator(Emulator):
    """Keeps the messages as events, each with its text as `name`."""

    kind = "slack"
    summary = "Slack incoming webhook, POST /services/..."
    windows: ClassVar[tuple[Window, ...]] = (Window(1, 1.0),)
    refuses = "none"

    def options(self) -> dict[str, Any]:
        return {"type": self.kind, "allow_private": True, "webhook": {"env": "EMULATED_KEY"}}

    def environ(self) -> dict[str, str]:
        return {"EMULATED_KEY": f"{self.url}/services/{self.key}"}

    def authorized(self, call: Call) -> bool:
        # The address is the secret.
        return call.path.startswith("/services/")

    def answer(self, call: Call) -> Answer:
        if call.method != "POST" or call.path != f"/services/{self.key}":
            return Answer(404, "no_service")
        if not isinstance(call.json, dict):
            return Answer(400, "invalid_payload")
        text = call.json.get("text")
        if not text:
            return Answer(400, "no_text")
        self.events.append({"id": "", "name": text, "properties": {}})
        return Answer(200, "ok")


EMULATOR = SlackEmulator
