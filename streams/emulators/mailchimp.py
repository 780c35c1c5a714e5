"""Mailchimp's members: Basic auth, ten requests at a time with a bare 403 beyond, merge tags in capitals."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any, ClassVar

from streams.emulators.base import Answer, Call, Emulator

_PATH = re.compile(r"/3\.0/lists/emulated/members/([0-9a-f]{32})(/events)?")
_TAG = re.compile(r"[A-Z][A-Z0-9_]{0,9}")


class MailchimpEmulator(Emulator):
    """Keeps merge fields by member, who is known by the digest of the address; `PUT` adds, `PATCH` does not."""

    kind = "mailchimp"
    summary = "Mailchimp Marketing API, PUT or PATCH /3.0/lists/emulated/members/{hash}"
    refuses = "whole"
    most_at_once: ClassVar[int | None] = 10

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        #: Addresses by digest: all that were added, and those that a test declares.
        self.members: dict[str, str] = {}

    def options(self) -> dict[str, Any]:
        return super().options() | {"api_key": {"env": "EMULATED_KEY"}, "list_id": "emulated", "create": True}

    def authorized(self, call: Call) -> bool:
        given = call.headers.get("authorization", "").removeprefix("Basic ")
        try:
            return base64.b64decode(given).partition(b":")[2] == self.key.encode()
        except ValueError:
            return False

    def crowded(self) -> Answer:
        return Answer(403, "")

    def add(self, address: str) -> None:
        """Let an address be a member."""
        self.members[hashlib.md5(address.lower().encode(), usedforsecurity=False).hexdigest()] = address

    def answer(self, call: Call) -> Answer:
        found = _PATH.fullmatch(call.path)
        if found is None or not isinstance(call.json, dict):
            return Answer(404, {"title": "Resource Not Found", "detail": "no such path"})
        address = call.json.get("email_address", "")
        if call.method == "PUT" and "@" in address and not self.refuse(address):
            self.add(address)
        if found[1] not in self.members:
            return Answer(404, {"title": "Resource Not Found", "detail": "the member does not exist"})
        who = self.members[found[1]]
        if self.refuse(who):
            return Answer(400, {"title": "Member In Compliance State", "detail": "the member cannot be changed"})
        if found[2]:
            self.events.append({"id": who, "name": call.json["name"], "properties": call.json["properties"]})
            return Answer(204)
        fields = call.json.get("merge_fields", {})
        if not all(_TAG.fullmatch(name) for name in fields):
            return Answer(400, {"title": "Invalid Resource", "detail": "a merge field does not exist"})
        self.keep(who, fields)
        return Answer(200, {"email_address": who})


EMULATOR = MailchimpEmulator
