"""Segment's HTTP tracking API[^1]: traits by `identify`, and `Audience Entered` or `Exited` by `track`.

Segment answers 200 even to a message that it later rejects, so an answer says nothing about a single row. What it gets
twice it drops by `messageId`, which stays the same over all attempts.

References
----------
[^1]: https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import orjson

from models.events.decode import ANONYMOUS_PREFIX
from streams.destinations.base import Change, Destination, Limits, Unbuildable
from streams.destinations.contract.messages import Request
from streams.destinations.contract.options import HttpOptions, Secret
from streams.sync.rates import Window

_EVENT_BYTES = 32 * 1024


class SegmentOptions(HttpOptions, frozen=True, kw_only=True):
    """`write_key` is that of an HTTP source, `audience` the key of the audience and of its boolean property."""

    url: str = "https://api.segment.io"
    write_key: Secret
    audience: str = "likely_to_churn"


class Segment(Destination[SegmentOptions]):
    """An identify per change, and a track when a customer enters or leaves; in mode `event` the track alone."""

    kind = "segment"
    summary = "Segment HTTP API: traits by identify, Audience Entered and Exited by track"
    options_type: ClassVar[type[Any]] = SegmentOptions
    takes_anonymous = True
    # 500 kB and 2,500 messages; twice a second keeps two messages per row within 1,000 a second.
    limits = Limits(rows=250, bytes=500_000, windows=(Window(2, 1.0),))
    example: ClassVar[Mapping[str, Any]] = {"type": "segment"}
    path: ClassVar[str] = "/v1/batch"

    def build(self, changes: Sequence[Change], at: float) -> Request:
        messages = [message for change in changes for message in self._messages(change)]
        if any(len(orjson.dumps(message)) > _EVENT_BYTES for message in messages):
            raise Unbuildable(f"a message of more bytes than allowed: {_EVENT_BYTES}")
        key = base64.b64encode(f"{self.options.write_key.text}:".encode()).decode()
        return self.json_request(self.path, {"batch": messages}, {"authorization": f"Basic {key}"}, changes)

    def _messages(self, change: Change) -> Iterator[dict[str, Any]]:
        anonymous = change.id.startswith(ANONYMOUS_PREFIX)
        who = {"anonymousId": change.id.removeprefix(ANONYMOUS_PREFIX)} if anonymous else {"userId": change.id}
        common = who | {
            "timestamp": change.score.scored_at,
            "context": {"library": {"name": "ebbtide", "version": "1"}},
        }
        if self.options.mode != "event":
            yield common | {"type": "identify", "messageId": f"{change.key}-i", "traits": change.payload}
        if change.kind != "updated":
            entered = change.kind == "entered"
            yield common | {
                "type": "track",
                "messageId": f"{change.key}-t",
                "event": "Audience Entered" if entered else "Audience Exited",
                "properties": {"audience_key": self.options.audience, self.options.audience: entered} | change.payload,
            }


DESTINATION = Segment
