"""What a destination is: a value that turns changes into requests and answers into verdicts.

A destination neither opens connections nor waits nor counts; `streams.sync` does that for all of them, by one
policy. So a destination is one small file, and its tests need no network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal

import msgspec
import orjson

from models.events.decode import ANONYMOUS_PREFIX
from models.records import Score
from streams.destinations.contract.expressions import compile_expression
from streams.destinations.contract.options import HttpOptions, Mode, OptionsT, Secret, origin_of, parse_rate
from streams.sync.rates import Window, wait_of
from streams.sync.retry import retry_after_s

ChangeKind = Literal["entered", "exited", "updated"]
VerdictKind = Literal["ok", "throttle", "transient", "auth", "too_large", "refused", "gone"]

#: What a destination that has a profile of each customer is told, unless the settings' `fields` say otherwise.
TRAITS: Mapping[str, str] = {
    "likelihood_to_churn": "likelihood_to_churn",
    "churn_score": "probability | round(2)",
    "churn_band": "band",
    "churn_reasons": "reasons | texts | join('; ')",
}
_DETAIL_CHARS = 200


class InvalidDestination(ValueError):  # noqa: N818 - reads as the fact that it states
    """The settings of a destination cannot work; the message names the setting and what it allows."""


class Unbuildable(ValueError):  # noqa: N818 - reads as the fact that it states
    """These changes cannot become a request, now or later. The message goes to the dead letter."""


class Change(msgspec.Struct, frozen=True):
    """A score that is news for the destination.

    `kind` is `entered` when the customer became likely to churn, `exited` when a customer that the destination was
    told about no longer is, else `updated`. `id` is the customer as the destination knows them, empty if the score does
    not say; `payload` is the score as mapped. The score comes without its feature vector.
    """

    score: Score
    kind: ChangeKind
    id: str
    payload: dict[str, Any]

    @property
    def key(self) -> str:
        """A stable name for this piece of news, by which a receiver can drop repetitions."""
        return hashlib.sha256(f"{self.score.score_id}/{self.kind}".encode()).hexdigest()[:32]


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


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a vendor documents: rows and bytes of one request, requests in each window, and at the same time."""

    rows: int = 1
    bytes: int = 512 * 1024
    windows: tuple[Window, ...] = ()
    concurrency: int = 1_000


class Destination(Generic[OptionsT]):
    """One place that scores go to. A module of this folder names its class `DESTINATION`.

    A destination declares the class attributes and writes `build`; the rest has defaults. `payload`, `build` and
    `verdict` are called from the event loop, often and in any order: they must be pure and quick. Nothing here may
    wait, read a clock or keep state; a destination that needs to is a change to `streams.sync`.

    Parameters
    ----------
    name
        Stable: it names the consumer group, the ledger file and the metric label.
    options
        Valid options of `options_type`, secrets resolved.

    Raises
    ------
    InvalidDestination
        The options cannot work.
    """

    #: The value of `type` in the settings.
    kind: ClassVar[str]
    summary: ClassVar[str]
    options_type: ClassVar[type[Any]] = HttpOptions
    modes: ClassVar[tuple[Mode, ...]] = ("upsert", "event", "full")
    limits: Limits = Limits()
    #: Names and expressions of the payload, where the settings give no `fields`.
    fields: ClassVar[Mapping[str, str]] = TRAITS
    #: Keys of the payload that change with every score; they do not make it news.
    volatile: ClassVar[frozenset[str]] = frozenset()
    #: Whether it can be told of customers who are known by an anonymous id alone.
    takes_anonymous: ClassVar[bool] = False
    #: A table of the settings that configures the destination, secrets left out: for help and tests.
    example: ClassVar[Mapping[str, Any]]

    def __init__(self, name: str, options: OptionsT, prefix: str = "") -> None:
        self.name, self.options = name, options
        if options.mode not in self.modes:
            raise InvalidDestination(f"{prefix}mode = {options.mode!r}: {self.kind} allows: {', '.join(self.modes)}")
        if faults := list(self.faults(prefix)):
            raise InvalidDestination("; ".join(faults))
        self.limits = _limited(type(self).limits, options)
        self._fields = {key: compile_expression(text) for key, text in (options.fields or self.fields).items()}
        self._identify = compile_expression(options.identifier)

    # To write.

    def build(self, changes: Sequence[Change], at: float) -> Request:
        """The request for an attempt at wall-clock time `at` (epoch seconds), for 1 to `limits.rows` changes.

        Raises
        ------
        Unbuildable
            A change cannot be told, alone or with others.
        """
        raise NotImplementedError

    # To write where the default does not fit.

    def payload(self, score: Score) -> dict[str, Any]:
        """The score in the destination's terms, JSON-ready. Its fingerprint decides whether a score is news."""
        return self.mapped(score)

    def verdict(self, reply: Reply, changes: Sequence[Change]) -> Verdict:
        """What the answer to a request with these changes means."""
        return standard_verdict(reply)

    def faults(self, prefix: str) -> Iterator[str]:
        """What is wrong between the options; `prefix` stands before an option's name."""
        yield from ()

    @property
    def endpoint(self) -> str:
        """Scheme, host and port that requests go to: enough for a log line, without path or credentials."""
        return origin_of(self.options.url) if isinstance(self.options, HttpOptions) else self.kind

    @property
    def account(self) -> str:
        """What besides the address tells one receiver from another: a list, a topic, a table."""
        return self.options.url if isinstance(self.options, HttpOptions) else ""

    # The same for all.

    @property
    def identity(self) -> str:
        """A digest that changes when the receiver becomes another one, so that the new one is told everything."""
        return hashlib.sha256(f"{self.kind} {self.account}".encode()).hexdigest()[:32]

    @property
    def credential(self) -> str:
        """A digest that is equal for destinations that share the vendor's limits."""
        values = (getattr(self.options, name) for name in self.options.__struct_fields__)
        secrets = [value.reveal() for value in values if isinstance(value, Secret)]
        return hashlib.sha256(b"\0".join([self.kind.encode(), self.endpoint.encode(), *secrets])).hexdigest()[:32]

    def mapped(self, score: Score) -> dict[str, Any]:
        """The fields that the settings, or the destination's own choice, make of the score."""
        return {key: evaluate(score) for key, evaluate in self._fields.items()}

    def change(self, score: Score, kind: ChangeKind = "updated") -> Change:
        """The score as a change, without its vector."""
        identifier = self._identify(score)
        text = "" if identifier is None else str(identifier)
        if text.startswith(ANONYMOUS_PREFIX) and not self.takes_anonymous:
            text = ""
        return Change(msgspec.structs.replace(score, features={}), kind, text, self.payload(score))

    def fingerprint(self, change: Change) -> str:
        """Digest of the mapped payload without its volatile keys, and of the id that it goes to."""
        stable = {key: value for key, value in change.payload.items() if key not in self.volatile}
        return hashlib.sha256(orjson.dumps([change.id, stable], option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]

    def __repr__(self) -> str:
        """Without the path of the address, which may hold a token."""
        return f"{type(self).__name__}({self.name!r}, {self.endpoint!r})"


def _limited(documented: Limits, options: Any) -> Limits:
    """The vendor's limits where the settings name no others."""
    windows = tuple(Window(*parse_rate(rate)) for rate in options.rates)
    return Limits(
        rows=options.batch_rows or documented.rows,
        bytes=options.batch_bytes or documented.bytes,
        windows=windows or documented.windows,
        concurrency=min(options.concurrency or documented.concurrency, documented.concurrency),
    )


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


def _by_class(status: int) -> VerdictKind:
    if 200 <= status < 300:
        return "ok"
    return "refused" if 400 <= status < 500 else "transient"


def detail_of(body: bytes) -> str:
    """The start of an answer as one printable line."""
    text = body[: 4 * _DETAIL_CHARS].decode("utf-8", "replace")
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_DETAIL_CHARS]
