"""Single fields of an event: ids and numbers, checked and brought to one type."""

from __future__ import annotations

import math
import re
from typing import Final

from models.events.reasons import Refused, quoted
from models.events.wire import Id, Number

#: Longest id, in characters. Segment allows 100 for messageId and sets no limit for the others.
MAX_ID_CHARS: Final = 200

#: Largest amount or quantity: far above anything real, and a billion of them still sum exactly enough.
MAX_NUMBER: Final = 1e12

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def identifier(value: Id, field: str) -> str | None:
    """An id as text, None if it is absent or blank.

    Integers become their decimal digits, so `42` and `"42"` are the same customer. Nothing else is changed:
    ids are compared as they are written.

    Raises
    ------
    Refused
        `too_long` or `bad_id`.
    """
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value)
    # Nearly every id ends here: printable, so without control characters, and not blank.
    if 0 < len(text) <= MAX_ID_CHARS and text.isprintable() and text[0] != " ":
        return text
    if len(text) > MAX_ID_CHARS:
        raise Refused("too_long", f"{field}: {len(text)} characters (allowed: {MAX_ID_CHARS})")
    if not text or text.isspace():
        return None
    if not text.isprintable() and _CONTROL.search(text):
        raise Refused("bad_id", f"{field}: {quoted(text)} holds control characters")
    return text


def first_id(*candidates: tuple[Id, str]) -> str | None:
    """The first of (value, field) pairs that is an id."""
    for value, field in candidates:
        text = identifier(value, field)
        if text is not None:
            return text
    return None


def number(value: Number, field: str) -> float | None:
    """A number from 0 to `MAX_NUMBER`, None if it is absent or blank. Decimal numbers in quotes count too.

    Raises
    ------
    Refused
        `bad_number`.
    """
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        if not _DECIMAL.fullmatch(text):
            raise Refused("bad_number", f"{field}: {quoted(value, 40)} is not a number")
        value = float(text)
    # The comparison is done before the conversion: float() of a huge int raises. NaN fails it too.
    if not 0 <= value <= MAX_NUMBER:
        raise Refused("bad_number", f"{field}: {quoted(str(value), 40)} is out of range (allowed: 0 to {MAX_NUMBER:g})")
    return math.fabs(value)


def first_number(*candidates: tuple[Number, str]) -> float:
    """The first of (value, field) pairs that is given, 0 if none is."""
    for value, field in candidates:
        amount = number(value, field)
        if amount is not None:
            return amount
    return 0.0
