"""What a destination is: a value that turns changes into requests and answers into verdicts.

A destination neither opens connections nor waits nor counts; `streams.sync` does that for all of them, by one
policy. So a destination is one small file, and its tests need no network.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal

import msgspec
import orjson

from models.events.decode import ANONYMOUS_PREFIX
from models.records import Score
from streams.destinations.contract.expressions import compile_expression
from streams.destinations.contract.messages import Reply, Request, Verdict, standard_verdict
from streams.destinations.contract.options import HttpOptions, Mode, OptionsT, Secret, origin_of, parse_rate
from streams.sync.rates import Window

ChangeKind = Literal["entered", "exited", "updated"]

#: What a destination that has a profile of each customer is told, unless the settings' `fields` say otherwise.
TRAITS: Mapping[str, str] = {
    "likelihood_to_churn": "likelihood_to_churn",
    "churn_score": "probability | round(2)",
    "churn_band": "band",
    "churn_reasons": "reasons | texts | join('; ')",
}


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


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a vendor documents: rows and bytes of one request, requests in each window, and at the same time."""

    rows: int = 1
    bytes: int = 512 * 1024
    windows: tuple[Window, ...] = ()
    concurrency: int = 1_000


class Destination(ABC, Generic[OptionsT]):
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
    #: How its requests travel; see `streams.sync.transports`.
    transport: ClassVar[Literal["http", "kafka"]] = "http"
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
        self.limits = _limited(self.documented, options)
        self._fields = {key: compile_expression(text) for key, text in (options.fields or self.fields).items()}
        self._identify = compile_expression(options.identifier)

    # To write.

    @abstractmethod
    def build(self, changes: Sequence[Change], at: float) -> Request:
        """The request for an attempt at wall-clock time `at` (epoch seconds), for 1 to `limits.rows` changes.

        Raises
        ------
        Unbuildable
            A change cannot be told, alone or with others.
        """

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
    def documented(self) -> Limits:
        """The vendor's limits, where they hang on the options."""
        return type(self).limits

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

    def json_request(
        self, path: str, body: Any, headers: Mapping[str, str], changes: Sequence[Change], method: str = "POST"
    ) -> Request:
        """A request with a JSON body to a path of the destination's interface."""
        url = self.options.url.rstrip("/") + path if isinstance(self.options, HttpOptions) else path
        headers = {"content-type": "application/json"} | dict(headers)
        return Request(method, url, headers, orjson.dumps(body), changes[0].key)

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
        rows=min(options.batch_rows or documented.rows, documented.rows),
        bytes=min(options.batch_bytes or documented.bytes, documented.bytes),
        windows=windows or documented.windows,
        concurrency=min(options.concurrency or documented.concurrency, documented.concurrency),
    )
