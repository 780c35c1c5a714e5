"""What passes between a destination and the sync role: requests, answers, and what an answer means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import orjson

from streams.sync.rates import wait_of
from streams.sync.retry import retry_after_s

VerdictKind = Literal["ok", "throttle", "transient", "auth", "too_large", "refused", "gone"]
_DETAIL_CHARS = 200


class Request(msgspec.Struct, frozen=True):
    """One request. `idempotency_id` stays the same over all attempts for the same scores."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    idempotency_id: str

    def __repr__(self) -> str:
        """Neither headers nor the address's path: both may carry credentials."""
        return f"Request({self.method}, {self.idempotency_id!r}, {len(self.body)} bytes)"


class Reply(msgspec.Struct, frozen=True):
    """What came back. Header names are lower case; `body` is cut at a cap, `received_at` is in epoch seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: float

    def json(self) -> Any:
        """The body read as JSON; an empty object if it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}


class Verdict(msgspec.Struct, frozen=True):
    """What an answer means, by what has to happen next.

    ok: remember it. throttle: leave the whole destination alone for `retry_after_s`. transient: try again. auth: stop
    and call a human, keep everything. too_large, refused: a row alone will never pass, a batch is halved to find
    the row. gone: the endpoint asks never to be called again.

    `rows` holds the rows, by their place in the request, that fared otherwise than the request as a whole.
    """

    kind: VerdictKind
    status: int | None = None
    retry_after_s: float | None = None
    detail: str = ""
    rows: Mapping[int, Verdict] = {}

    def refusing(self, rows: Mapping[int, str]) -> Verdict:
        """The same, but these rows are refused, each with its reason."""
        refused = {
            index: Verdict("refused", self.status, detail=reason[:_DETAIL_CHARS]) for index, reason in rows.items()
        }
        return msgspec.structs.replace(self, rows=refused)


#: Meaning of the statuses that do not follow from their class (4xx refused, 5xx and 3xx transient).
_BY_STATUS: dict[int, VerdictKind] = {
    401: "auth",
    403: "auth",
    407: "auth",
    408: "transient",
    410: "gone",
    413: "too_large",
    423: "transient",
    425: "transient",
    429: "throttle",
    501: "refused",
}
#: Gateways answer these for a whole destination. With Retry-After they ask for silence, not for another try.
_THROTTLE_IF_TIMED = frozenset({502, 503, 504})


def standard_verdict(reply: Reply) -> Verdict:
    """The policy for a plain HTTP endpoint: only 2xx is success, a redirect is not followed and not final."""
    kind = _BY_STATUS.get(reply.status) or _by_class(reply.status)
    wait_s = retry_after_s(reply.headers.get("retry-after"), reply.received_at)
    if reply.status in _THROTTLE_IF_TIMED and wait_s is not None:
        kind = "throttle"
    if kind == "throttle":
        wait_s = wait_of(reply.headers, reply.received_at)
    return Verdict(kind, reply.status, wait_s, "" if kind == "ok" else detail_of(reply.body))


def row_errors(errors: Any, place: str, reason: str, count: int) -> dict[int, str]:
    """Reasons by row from a vendor's list of errors, of which each names its row by number."""
    listed = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    rows = ((error.get(place), str(error.get(reason) or "refused")) for error in listed)
    return {index: why for index, why in rows if isinstance(index, int) and 0 <= index < count}


def _by_class(status: int) -> VerdictKind:
    if 200 <= status < 300:
        return "ok"
    return "refused" if 400 <= status < 500 else "transient"


def detail_of(body: bytes) -> str:
    """The start of an answer as one printable line."""
    text = body[: 4 * _DETAIL_CHARS].decode("utf-8", "replace")
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_DETAIL_CHARS]
