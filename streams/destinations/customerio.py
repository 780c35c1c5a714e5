"""Customer.io's Track API v2, `/api/v2/batch`[^1]: attributes of people, or events in mode `event`.

The answer 207 names the rows that were not taken, by their place in the batch.

References
----------
[^1]: https://docs.customer.io/integrations/api/track/
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import orjson

from streams.destinations.base import Change, Destination, Limits, Unbuildable
from streams.destinations.contract.expressions import compile_expression
from streams.destinations.contract.messages import Reply, Request, Verdict, row_errors, standard_verdict
from streams.destinations.contract.options import HttpOptions, Secret
from streams.sync.rates import Window

_ROW_BYTES, _NAME_BYTES, _VALUE_BYTES = 32_000, 150, 1_000
_NAMES = {"entered": "churn_risk_entered", "exited": "churn_risk_exited"}


class CustomerIoOptions(HttpOptions, frozen=True, kw_only=True):
    """`site_id` and `api_key` are the Track API's; accounts in the EU set `url` to `https://track-eu.customer.io`."""

    url: str = "https://track.customer.io"
    site_id: str
    api_key: Secret
    identify_by: Literal["id", "email", "cio_id"] = "id"


class CustomerIo(Destination[CustomerIoOptions]):
    """One operation on a person per change."""

    kind = "customerio"
    summary = "Customer.io Track API v2: attributes of people, or events"
    options_type = CustomerIoOptions
    limits = Limits(rows=1_000, bytes=500_000, windows=(Window(100, 1.0),))
    example: ClassVar[Mapping[str, Any]] = {"type": "customerio", "site_id": "0123456789abcdef"}

    def faults(self, prefix: str) -> Iterator[str]:
        long = [name for name in self.options.fields if len(name.encode()) > _NAME_BYTES]
        if long:
            yield f"{prefix}fields: {long[0]!r}: allowed: names of up to {_NAME_BYTES} bytes"

    def build(self, changes: Sequence[Change], at: float) -> Request:
        rows = [self._row(change) for change in changes]
        key = base64.b64encode(f"{self.options.site_id}:{self.options.api_key.text}".encode()).decode()
        return self.json_request("/api/v2/batch", {"batch": rows}, {"authorization": f"Basic {key}"}, changes)

    def _row(self, change: Change) -> dict[str, Any]:
        who = {self.options.identify_by: change.id}
        row: dict[str, Any] = {"type": "person", "identifiers": who, "attributes": change.payload}
        if self.options.mode == "event":
            stamp = int(_EPOCH(change.score) or 0)
            row |= {"action": "event", "name": _NAMES[change.kind], "timestamp": stamp, "id": _ulid(stamp, change.key)}
        else:
            row["action"] = "identify"
        longest = max((len(str(value).encode()) for value in change.payload.values()), default=0)
        if longest > _VALUE_BYTES or len(orjson.dumps(row)) > _ROW_BYTES:
            raise Unbuildable(f"a value of {longest} bytes, allowed: {_VALUE_BYTES}, and {_ROW_BYTES} for the whole")
        return row

    def verdict(self, reply: Reply, changes: Sequence[Change]) -> Verdict:
        whole, answer = standard_verdict(reply), reply.json()
        if whole.kind != "ok" or not isinstance(answer, dict):
            return whole
        return whole.refusing(row_errors(answer.get("errors"), "batch_index", "message", len(changes)))


_EPOCH = compile_expression("scored_at | epoch")


def _ulid(stamp_s: int, key: str) -> str:
    """An id by which Customer.io drops a repeated event: a ULID of its time and of what it says."""
    value = (stamp_s * 1000 & (1 << 48) - 1) << 80 | int(key, 16) & (1 << 80) - 1
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[value >> shift & 31] for shift in range(125, -1, -5))


DESTINATION = CustomerIo
