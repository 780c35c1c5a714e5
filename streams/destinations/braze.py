"""Braze's `/users/track`[^1]: attributes of known users, or events in mode `event`.

Braze bills every attribute that is written, and counts an event that it gets twice as two. A 2xx may carry
`errors[]` that name single rows; the other rows are done then.

References
----------
[^1]: https://www.braze.com/docs/api/endpoints/user_data/post_user_track/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from streams.destinations.base import Change, Destination, Limits
from streams.destinations.contract.messages import Reply, Request, Verdict, row_errors, standard_verdict
from streams.destinations.contract.options import HttpOptions, Secret
from streams.sync.rates import Window

_NAMES = {"entered": "Churn Risk Entered", "exited": "Churn Risk Exited"}


class BrazeOptions(HttpOptions, frozen=True, kw_only=True):
    """`url` is the instance's REST endpoint, `api_key` a REST key with `users.track`.

    `update_existing_only` leaves users alone that Braze does not know. On plans that count attributes and events
    together set `batch_rows = 50`.
    """

    url: str
    api_key: Secret
    identify_by: Literal["external_id", "braze_id", "email", "phone"] = "external_id"
    update_existing_only: bool = True


class Braze(Destination[BrazeOptions]):
    """One object per change; in mode `mirror` the attributes of who leaves are removed."""

    kind = "braze"
    summary = "Braze /users/track: custom attributes, or events"
    options_type = BrazeOptions
    modes = ("upsert", "mirror", "event", "full")
    limits = Limits(rows=75, bytes=4_000_000, windows=(Window(3_000, 3.0),))
    example: ClassVar[Mapping[str, Any]] = {"type": "braze", "url": "https://rest.iad-01.braze.com"}

    def build(self, changes: Sequence[Change], at: float) -> Request:
        rows = [self._row(change) for change in changes]
        body = {"events" if self.options.mode == "event" else "attributes": rows}
        return self.json_request(
            "/users/track", body, {"authorization": f"Bearer {self.options.api_key.text}"}, changes
        )  # fmt: skip

    def _row(self, change: Change) -> dict[str, Any]:
        who = {self.options.identify_by: change.id, "_update_existing_only": self.options.update_existing_only}
        if self.options.mode == "event":
            told = {"name": _NAMES[change.kind], "time": change.score.scored_at, "properties": change.payload}
            return who | told
        gone = self.options.mode == "mirror" and change.kind == "exited"
        return who | (dict.fromkeys(change.payload) if gone else change.payload)

    def verdict(self, reply: Reply, changes: Sequence[Change]) -> Verdict:
        whole, answer = standard_verdict(reply), reply.json()
        if whole.kind != "ok" or not isinstance(answer, dict):
            return whole
        if answer.get("message", "success") not in ("success", "queued"):
            return Verdict("refused", reply.status, detail=str(answer["message"])[:200])
        return whole.refusing(row_errors(answer.get("errors"), "index", "type", len(changes)))


DESTINATION = Braze
