"""Iterable's `/api/users/bulkUpdate` and `/api/events/trackBulk`[^1]: fields of users, or events in mode `event`.

The answer 200 lists the users that were not taken. One who asked to be forgotten is never taken again.

References
----------
[^1]: https://api.iterable.com/api/docs
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from streams.destinations.base import Change, Destination, Limits
from streams.destinations.contract.expressions import compile_expression
from streams.destinations.contract.messages import Reply, Request, Verdict, standard_verdict
from streams.destinations.contract.options import HttpOptions, Secret
from streams.sync.rates import Window

_NAMES = {"entered": "churnRiskEntered", "exited": "churnRiskExited"}
_EPOCH = compile_expression("scored_at | epoch")


class IterableOptions(HttpOptions, frozen=True, kw_only=True):
    """`api_key` is a server-side key; projects in the EU set `url` to `https://api.eu.iterable.com`."""

    url: str = "https://api.iterable.com"
    api_key: Secret
    identify_by: Literal["userId", "email"] = "userId"


class Iterable(Destination[IterableOptions]):
    """One user, or one event, per change."""

    kind = "iterable"
    summary = "Iterable: user fields by bulkUpdate, or events by trackBulk"
    options_type = IterableOptions
    example: ClassVar[Mapping[str, Any]] = {"type": "iterable"}

    @property
    def documented(self) -> Limits:
        """4 MB a request; 5 a second for users, 10 for events."""
        a_second = 10 if self.options.mode == "event" else 5
        return Limits(rows=1_000, bytes=4_000_000, windows=(Window(a_second, 1.0),))

    def build(self, changes: Sequence[Change], at: float) -> Request:
        headers = {"api-key": self.options.api_key.text}
        if self.options.mode == "event":
            return self.json_request(
                "/api/events/trackBulk", {"events": list(map(self._event, changes))}, headers, changes
            )
        users = [{self.options.identify_by: change.id, "dataFields": change.payload} for change in changes]
        return self.json_request("/api/users/bulkUpdate", {"users": users}, headers, changes)

    def _event(self, change: Change) -> dict[str, Any]:
        return {
            self.options.identify_by: change.id,
            "id": change.key,
            "eventName": _NAMES[change.kind],
            "createdAt": _EPOCH(change.score) or 0,
            "dataFields": change.payload,
        }

    def verdict(self, reply: Reply, changes: Sequence[Change]) -> Verdict:
        whole, answer = standard_verdict(reply), reply.json()
        if whole.kind != "ok" or not isinstance(answer, dict):
            return whole
        place = {change.id: index for index, change in enumerate(changes)}
        refused = {place[name]: reason for name, reason in _refused(answer) if name in place}
        failed = answer.get("failCount")
        if isinstance(failed, int) and failed > len(refused):
            # More failed than are named: half as many rows at a time will tell which.
            return Verdict("refused", reply.status, detail=f"{failed} of {len(changes)} failed, {len(refused)} named")
        return whole.refusing(refused)


def _refused(answer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Ids with the name of the list that they stand in, such as `forgottenUserIds`."""
    detailed = answer.get("failedUpdates")
    for lists in (answer, detailed if isinstance(detailed, dict) else {}):
        for reason, ids in lists.items():
            if isinstance(ids, list) and reason.endswith(("Emails", "UserIds")):
                yield from ((name, reason) for name in ids if isinstance(name, str))


DESTINATION = Iterable
