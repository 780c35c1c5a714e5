"""One setting's value: from text or TOML to its type, and back; with what is allowed in words."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class InvalidValueError(ValueError):
    """The value is not of the setting's type or range; the message says what is allowed."""


class Field(msgspec.Struct, frozen=True):
    """One setting: its dotted name, declared type and default."""

    name: str
    declared: Any
    default: Any
    secret: bool = False

    def convert(self, value: Any) -> Any:
        """The value in the setting's type; text is read as an environment variable is written.

        Raises
        ------
        InvalidValueError
            If the type or the range is wrong.
        """
        plain = _from_text(value, self._base) if isinstance(value, str) else value
        try:
            result = msgspec.convert(plain, self.declared)
        except msgspec.ValidationError:
            raise InvalidValueError(f"allowed: {self.allowed}") from None
        if isinstance(result, float) and not math.isfinite(result):
            raise InvalidValueError(f"allowed: {self.allowed}")
        return result

    @property
    def allowed(self) -> str:
        """What the setting takes, in words."""
        base = self._base
        if get_origin(base) is Literal:
            return ", ".join(str(choice) for choice in get_args(base))
        if get_origin(base) is tuple:
            return "a list of names, comma separated or as a JSON array"
        if get_origin(base) is dict:
            return "tables by name, or a JSON object of objects"
        return {bool: "true or false", int: "a whole number", float: "a number"}.get(base, "text") + self._limits()

    def show(self, value: Any) -> str:
        """The value for a table or a log; a secret only as set or not."""
        if self.secret:
            return "***" if value else ""
        if isinstance(value, dict):
            return ", ".join(f"{name} ({table.get('type', '')})" for name, table in value.items())
        if self.name.endswith("_url"):
            return masked_url(value)
        return ", ".join(value) if isinstance(value, tuple) else self.to_text(value)

    def to_text(self, value: Any) -> str:
        """The value as `convert` reads it back."""
        if isinstance(value, tuple | dict):
            return json.dumps(value)
        return str(value).lower() if isinstance(value, bool) else str(value)

    @property
    def _base(self) -> Any:
        return get_args(self.declared)[0] if get_origin(self.declared) is Annotated else self.declared

    def _limits(self) -> str:
        metas = get_args(self.declared)[1:] if get_origin(self.declared) is Annotated else ()
        words = [
            f"{word} {limit:,}".replace(",", " ")
            for meta in metas
            for word, limit in (("above", meta.gt), ("from", meta.ge), ("to", meta.le))
            if limit is not None
        ]
        return f" {' '.join(words)}" if words else ""


def masked_url(url: str) -> str:
    """The address without user, password and query, which often carry a key."""
    head, mark, _ = url.partition("?")
    scheme, slashes, rest = head.rpartition("://")
    authority, slash, path = rest.partition("/")
    _, at, host = authority.rpartition("@")
    return f"{scheme}{slashes}{'***@' if at else ''}{host}{slash}{path}{'?***' if mark else ''}"


def _from_text(text: str, base: Any) -> Any:
    stripped = text.strip()
    if base is bool:
        lowered = stripped.lower()
        return True if lowered in _TRUE else False if lowered in _FALSE else text
    if base is int or base is float:
        return _number(stripped, base)
    if get_origin(base) is tuple:
        return _names(stripped)
    if get_origin(base) is dict:
        return _json(stripped)
    return text


def _number(text: str, kind: type[int] | type[float]) -> Any:
    try:
        return kind(text.replace("_", ""))
    except ValueError:
        return text


def _names(text: str) -> Any:
    if text.startswith("["):
        return _json(text)
    return [part.strip() for part in text.split(",") if part.strip()]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
