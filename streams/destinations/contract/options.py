"""The options of a destination: declared by its file, read from the settings' table `[destinations.NAME]`.

A secret is never written into the settings. Its option names where it is: `{ env = "BRAZE_KEY" }` or
`{ file = "/run/secrets/braze" }`, and it is read when the destination is made.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta

from models.settings import Count, NotNegative, Positive, SyncSettings
from streams.destinations.contract.expressions import InvalidExpression, compile_expression

Mode = Literal["upsert", "mirror", "event", "full"]
_RATE = re.compile(r"(\d{1,9})/(\d{1,6}(?:\.\d{1,3})?)?(s|m|h|d)")
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_FIELD = re.compile(r"[A-Za-z$_][A-Za-z0-9$_ .-]{0,149}")
OptionsT = TypeVar("OptionsT", bound="Options")


class Secret:
    """Bytes that no repr, log or traceback shows. `reveal` is for the code that signs or authenticates."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    @property
    def text(self) -> str:
        """The secret as text, as headers need it."""
        return self._value.decode("utf-8").strip()

    def __repr__(self) -> str:
        return "Secret(***)"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What every destination takes.

    `identifier` is the expression of the id under which the destination knows the customer, `fields` maps its names to
    expressions and replaces the destination's own choice. `consent` names categories that the customer must have
    agreed to. `only_likely`, `concurrency` and `timeout_s` stand before those of `[sync]`. `rates`, such as
    `["100/10s", "250000/d"]`, stand before what the vendor documents; `batch_rows` and `batch_bytes` can only lower
    that. `linger_s` is how long a batch that is not full waits for more.
    """

    mode: Mode = "upsert"
    only_likely: bool | None = None
    identifier: str = "customer_id"
    fields: dict[str, str] = {}
    consent: tuple[str, ...] = ()
    concurrency: Count | None = None
    timeout_s: Positive | None = None
    batch_rows: Count | None = None
    batch_bytes: Annotated[int, Meta(ge=1_000)] | None = None
    rates: tuple[str, ...] = ()
    linger_s: NotNegative = 1.0
    allow_private: bool = False

    def over(self, sync: SyncSettings) -> SyncSettings:
        """The settings of the sync role as they hold for this destination."""
        own = {name: getattr(self, name) for name in ("only_likely", "concurrency", "timeout_s")}
        return msgspec.structs.replace(sync, **{name: value for name, value in own.items() if value is not None})

    def __repr__(self) -> str:
        """Addresses may hold tokens, so none is shown."""
        return f"{type(self).__name__}(mode={self.mode!r})"


class HttpOptions(Options, frozen=True, kw_only=True):
    """What every destination takes that is called by HTTP: `url` is the address of its interface, without a path."""

    url: str = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({origin_of(self.url)!r}, mode={self.mode!r})"


def parse_rate(text: str) -> tuple[int, float]:
    """Requests and seconds of a rate such as `100/10s`, `3000/m`. Raises ValueError."""
    found = _RATE.fullmatch(text.replace(" ", ""))
    requests, seconds = (int(found[1]), float(found[2] or 1.0) * _UNIT_S[found[3]]) if found else (0, 0.0)
    if requests < 1 or seconds <= 0.0:
        raise ValueError(f"{text!r} is no rate, allowed: requests/time such as 100/10s, 3000/m, 250000/d")
    return requests, seconds


def origin_of(url: str) -> str:
    """Scheme, host and port, without path, user and query."""
    parts = _split(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def read(
    declared: type[OptionsT], table: Mapping[str, Any], prefix: str, environ: Mapping[str, str] | None = None
) -> tuple[OptionsT | None, list[str]]:
    """The options, or None and every fault of the table.

    Parameters
    ----------
    prefix
        What stands before an option's name in messages, such as `destinations.crm.`.
    environ
        Where secrets are looked up. None: only their form is checked.
    """
    known = {field.name: field for field in msgspec.structs.fields(declared)}
    faults = [_unknown(prefix, name, known) for name in table if name not in known]
    values: dict[str, Any] = {}
    for name, field in known.items():
        try:
            if name in table:
                values[name] = _value(table[name], field.type, environ)
            elif field.required:
                faults.append(f"{prefix}{name}: is missing")
        except (msgspec.ValidationError, ValueError) as error:
            shown = "" if _is_secret(field.type) else f" = {table[name]!r}"
            faults.append(f"{prefix}{name}{shown}: {str(error)[:1].lower()}{str(error)[1:].rstrip('.')}")
    if faults:
        return None, faults
    options = declared(**values)
    faults = list(_rules(options, prefix))
    return (None if faults else options), faults


def _unknown(prefix: str, name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{prefix}{name}: no such option{hint}; allowed: {', '.join(sorted(known))}"


def _is_secret(declared: Any) -> bool:
    return declared is Secret or Secret in get_args(declared)


def _value(given: Any, declared: Any, environ: Mapping[str, str] | None) -> Any:
    if _is_secret(declared):
        return given if isinstance(given, Secret) else _secret(given, environ)
    if get_origin(declared) is tuple and isinstance(given, str):
        given = [given]
    return msgspec.convert(given, declared)


def _secret(given: Any, environ: Mapping[str, str] | None) -> Secret:
    if not (isinstance(given, dict) and len(given) == 1 and set(given) <= {"env", "file"}):
        raise ValueError('a secret, allowed: { env = "VARIABLE" } or { file = "PATH" }, never the secret itself')
    ((kind, place),) = given.items()
    if not isinstance(place, str) or not place:
        raise ValueError(f"the {kind} of a secret must be named by a text")
    if environ is None:
        return Secret(b"")
    return _from_file(place) if kind == "file" else _from_env(place, environ)


def _from_env(name: str, environ: Mapping[str, str]) -> Secret:
    if not environ.get(name, "").strip():
        raise ValueError(f"environment variable {name!r} is not set or empty")
    return Secret(environ[name].strip().encode())


def _from_file(path: str) -> Secret:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - one read
            value = file.read().strip()
    except OSError as error:
        raise ValueError(f"cannot read file {path!r}: {(error.strerror or str(error)).lower()}") from None
    if not value:
        raise ValueError(f"file {path!r} is empty")
    return Secret(value)


def _rules(options: Options, prefix: str) -> Iterator[str]:
    yield from _tried(compile_expression, options.identifier, f"{prefix}identifier")
    for name, expression in options.fields.items():
        if not _FIELD.fullmatch(name):
            yield f"{prefix}fields: {name!r}: allowed: up to 150 letters, digits, spaces and _ $ . -, a letter first"
        yield from _tried(compile_expression, expression, f"{prefix}fields.{name}")
    for rate in options.rates:
        yield from _tried(parse_rate, rate, f"{prefix}rates")
    if isinstance(options, HttpOptions):
        yield from url_faults(options.url, f"{prefix}url", f"{prefix}allow_private", options.allow_private)


def _tried(parse: Callable[[str], Any], text: str, name: str) -> Iterator[str]:
    try:
        parse(text)
    except (InvalidExpression, ValueError) as error:
        yield f"{name}: {error}"


def url_faults(url: str, name: str, permission: str, allow_private: bool) -> Iterator[str]:
    """What forbids the use of an address; it is not shown, since it may hold a token."""
    schemes = ("https", "http") if allow_private else ("https",)
    parts = _split(url)
    if parts.scheme not in schemes or not parts.hostname:
        hint = "" if allow_private else f"; http needs {permission}"
        yield f"{name} is not an address with a host, allowed: {' or '.join(schemes)}{hint}"
    elif parts.username is not None or parts.password is not None:
        yield f"{name} holds a user name or password, allowed: none"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.port != 0:
            return parts
    except ValueError:
        pass
    return SplitResult("", "", "", "", "")
