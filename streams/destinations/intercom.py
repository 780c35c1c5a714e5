"""Intercom's `/events`[^1]: an event when a customer enters or leaves.

Events alone: a contact's attributes can be written only by Intercom's own id, which would have to be searched first.

References
----------
[^1]: https://developers.intercom.com/docs/references/rest-api/api.intercom.io/data-events/createdataevent
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from streams.destinations.base import Change, Destination, Limits
from streams.destinations.contract.expressions import compile_expression
from streams.destinations.contract.messages import Request
from streams.destinations.contract.options import HttpOptions, Mode, Secret
from streams.sync.rates import Window

_NAMES = {"entered": "churn-risk-entered", "exited": "churn-risk-exited"}
_EPOCH = compile_expression("scored_at | epoch")


class IntercomOptions(HttpOptions, frozen=True, kw_only=True):
    """`token` is an access token; workspaces elsewhere set `url` to `https://api.eu.intercom.io` or `.au.`."""

    url: str = "https://api.intercom.io"
    token: Secret
    version: str = "2.11"
    mode: Mode = "event"
    identify_by: Literal["user_id", "email"] = "user_id"


class Intercom(Destination[IntercomOptions]):
    """One event per change. A contact that Intercom does not know is refused."""

    kind = "intercom"
    summary = "Intercom: an event when a customer enters or leaves"
    options_type = IntercomOptions
    modes = ("event",)
    # 10,000 a minute for an app, spread over windows of ten seconds.
    limits = Limits(rows=1, bytes=100_000, windows=(Window(1_666, 10.0),))
    example: ClassVar[Mapping[str, Any]] = {"type": "intercom"}

    def build(self, changes: Sequence[Change], at: float) -> Request:
        (change,) = changes
        event = {
            "event_name": _NAMES[change.kind],
            "created_at": _EPOCH(change.score) or 0,
            self.options.identify_by: change.id,
            "metadata": change.payload,
        }
        headers = {"authorization": f"Bearer {self.options.token.text}", "intercom-version": self.options.version}
        return self.json_request("/events", event, headers, changes)


DESTINATION = Intercom
