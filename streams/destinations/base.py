"""What a destination is: a value that turns changes into requests and answers into verdicts.

A destination neither opens connections nor waits nor counts; `streams.sync` does that for all of them, by one
policy. So a destination is one small file, and its tests need no network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, Self

import msgspec
import orjson

from models.records import Score
from models.settings import SyncSettings
from streams.sync.retry import retry_after_s

ChangeKind = Literal["entered", "exited", "updated"]
VerdictKind = Literal["ok", "throttle", "transient", "auth", "too_large", "refused", "gone"]

_DETAIL_CHARS = 200


class InvalidDestination(ValueError):  # noqa: N818 - reads as the fact that it states
    """The settings of a destination cannot work; the message names the setting and what it allows."""


class Unbuildable(ValueError):  # noqa: N818 - reads as the fact that it states
    """These changes cannot become a request, now or later. The message goes to the dead letter."""


class Secret:
    """Bytes that no repr, log or traceback shows. `reveal` is for the code that signs or authenticates."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"


class Change(msgspec.Struct, frozen=True):
    """A score that is news for the destination.

    `kind` is `entered` when the customer became likely to churn, `exited` when a customer that the destination was
    told about no longer is, else `updated`. The score comes without its feature vector.
    """

    score: Score
    kind: ChangeKind


class Request(msgspec.Struct, frozen=True):
    """One HTTP request. `idempotency_id` stays the same over all attempts for the same score."""

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


class Verdict(msgspec.Struct, frozen=True):
    """What an answer means, by what has to happen next.

    ok: remember it. throttle: leave the whole destination alone for `retry_after_s`. transient: try this row again.
    auth: stop and call a human, keep everything. too_large, refused: this row will never pass. gone: the
    endpoint asks never to be called again.
    """

    kind: VerdictKind
    status: int | None = None
    retry_after_s: float | None = None
    detail: str = ""


class Destination(Protocol):
    """One place that scores go to. A module of this folder names its class `DESTINATION`.

    `from_settings` is called once per start, `payload`, `build` and `verdict` from the event loop, often and in any
    order: they must be pure and quick. Nothing here may wait, read a clock or keep state; a destination that
    needs to is a change to `streams.sync`.
    """

    #: Stable: it names the consumer group, the ledger file and the metric label.
    name: ClassVar[str]
    #: Keys of the payload that change with every score; they do not make it news.
    volatile: ClassVar[frozenset[str]]
    #: Largest body in bytes that `build` returns.
    max_body_bytes: ClassVar[int]

    @property
    def endpoint(self) -> str:
        """Scheme, host and port that requests go to: enough for a log line, without path or credentials."""
        ...

    @property
    def identity(self) -> str:
        """A digest that changes when the endpoint becomes another one, so that the new one is told everything."""
        ...

    @classmethod
    def from_settings(cls, settings: SyncSettings) -> Self | None:
        """The configured destination, None if it is not configured. Raises InvalidDestination."""
        ...

    def payload(self, score: Score) -> dict[str, Any]:
        """The score in the destination's terms, JSON-ready. Its fingerprint decides whether a score is news."""
        ...

    def build(self, changes: Sequence[Change], at: float) -> Request:
        """The request for an attempt at wall-clock time `at` (epoch seconds). Raises Unbuildable."""
        ...

    def verdict(self, reply: Reply) -> Verdict:
        """What the answer means; `standard_verdict` unless the vendor has its own ways."""
        ...


def fingerprint(destination: Destination, score: Score) -> str:
    """Digest of the mapped payload without its volatile keys."""
    stable = {key: value for key, value in destination.payload(score).items() if key not in destination.volatile}
    return hashlib.sha256(orjson.dumps(stable, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


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
    wait_s = retry_after_s(reply.headers.get("retry-after"), reply.received_at)
    kind = _BY_STATUS.get(reply.status) or _by_class(reply.status)
    if reply.status in _THROTTLE_IF_TIMED and wait_s is not None:
        kind = "throttle"
    detail = "" if kind == "ok" else _detail(reply.body)
    return Verdict(kind, reply.status, wait_s, detail)


def _by_class(status: int) -> VerdictKind:
    if 200 <= status < 300:
        return "ok"
    return "refused" if 400 <= status < 500 else "transient"


def _detail(body: bytes) -> str:
    """The start of an answer as one printable line."""
    text = body[: 4 * _DETAIL_CHARS].decode("utf-8", "replace")
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_DETAIL_CHARS]
