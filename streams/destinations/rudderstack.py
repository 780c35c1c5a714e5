"""RudderStack's data plane[^1]: the messages of Segment's API at an address of your own, up to 4 MB at a time.

Unlike Segment it answers 400, 401, 404, 413 and 429 for what it does not take.

References
----------
[^1]: https://www.rudderstack.com/docs/api/http-api/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from streams.destinations.base import Change, Limits
from streams.destinations.contract.messages import Reply, Verdict, standard_verdict
from streams.destinations.segment import Segment, SegmentOptions


class RudderStackOptions(SegmentOptions, frozen=True, kw_only=True):
    """`url` is the data plane's."""

    url: str


class RudderStack(Segment):
    """As Segment, at the data plane's address."""

    kind = "rudderstack"
    summary = "RudderStack data plane: traits by identify, Audience Entered and Exited by track"
    options_type = RudderStackOptions
    limits = Limits(rows=1_000, bytes=4_000_000)
    example: ClassVar[Mapping[str, Any]] = {"type": "rudderstack", "url": "https://example.dataplane.rudderstack.com"}

    def verdict(self, reply: Reply, changes: Sequence[Change]) -> Verdict:
        """A source that is switched off answers 404: for every row, so it is not the row's fault."""
        if reply.status == 404:
            return Verdict("auth", 404, detail="the source is disabled or unknown")
        return standard_verdict(reply)


DESTINATION = RudderStack
