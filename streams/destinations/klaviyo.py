"""Klaviyo's `/api/profile-import` and `/api/events`[^1]: properties of profiles, or events in mode `event`.

One profile per request: the bulk jobs answer before they work, so that an answer would say nothing of any row.

References
----------
[^1]: https://developers.klaviyo.com/en/reference/create_or_update_profile
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from streams.destinations.base import Change, Destination, Limits
from streams.destinations.contract.messages import Request
from streams.destinations.contract.options import HttpOptions, Secret
from streams.sync.rates import Window

_NAMES = {"entered": "Churn Risk Entered", "exited": "Churn Risk Exited"}


class KlaviyoOptions(HttpOptions, frozen=True, kw_only=True):
    """`api_key` is a private key with `profiles:write`, for events `events:write`."""

    url: str = "https://a.klaviyo.com"
    api_key: Secret
    revision: str = "2026-07-15"
    identify_by: Literal["external_id", "email", "phone_number"] = "external_id"


class Klaviyo(Destination[KlaviyoOptions]):
    """One profile, or one event, per change; in mode `mirror` the properties of who leaves are cleared by null."""

    kind = "klaviyo"
    summary = "Klaviyo: profile properties, or events"
    options_type = KlaviyoOptions
    modes = ("upsert", "mirror", "event", "full")
    example: ClassVar[Mapping[str, Any]] = {"type": "klaviyo"}

    @property
    def documented(self) -> Limits:
        """100 kB a request; 75 a second and 750 a minute for profiles, 350 and 3,500 for events."""
        burst, steady = (350, 3_500) if self.options.mode == "event" else (75, 750)
        return Limits(rows=1, bytes=100_000, windows=(Window(burst, 1.0), Window(steady, 60.0)))

    def build(self, changes: Sequence[Change], at: float) -> Request:
        (change,) = changes
        headers = {
            "content-type": "application/vnd.api+json",
            "accept": "application/vnd.api+json",
            "authorization": f"Klaviyo-API-Key {self.options.api_key.text}",
            "revision": self.options.revision,
        }
        if self.options.mode == "event":
            return self.json_request("/api/events", {"data": self._event(change)}, headers, changes)
        gone = self.options.mode == "mirror" and change.kind == "exited"
        properties = dict.fromkeys(change.payload) if gone else change.payload
        return self.json_request("/api/profile-import", {"data": self._profile(change, properties)}, headers, changes)

    def _profile(self, change: Change, properties: Mapping[str, Any]) -> dict[str, Any]:
        attributes = {self.options.identify_by: change.id} | ({"properties": properties} if properties else {})
        return {"type": "profile", "attributes": attributes}

    def _event(self, change: Change) -> dict[str, Any]:
        attributes = {
            "metric": {"data": {"type": "metric", "attributes": {"name": _NAMES[change.kind]}}},
            "profile": {"data": self._profile(change, {})},
            "properties": change.payload,
            "time": change.score.scored_at,
            # Klaviyo drops a second event with the same id.
            "unique_id": change.key,
        }
        return {"type": "event", "attributes": attributes}


DESTINATION = Klaviyo
