"""What a command is, and the argument types that commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from models.settings import Settings


class Command(msgspec.Struct, frozen=True):
    """One command: `run` does it and returns the exit status; `example` is a line that works as it stands."""

    name: str
    summary: str
    example: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Settings], int]


def no_arguments(_: argparse.ArgumentParser) -> None:
    """For commands without options of their own."""


def positive_int(text: str) -> int:
    """A whole number above 0."""
    try:
        number = int(text.replace("_", ""))
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: a whole number above 0")
    return number


def speed(text: str) -> float | None:
    """Event time per real time: `60` or `60x` is a minute in a second, `max` as fast as it goes (None)."""
    if text == "max":
        return None
    try:
        factor = float(text.removesuffix("x"))
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: a number above 0 such as 3600, or max")
    return factor


def moment(text: str) -> float:
    """Epoch seconds of an ISO-8601 date or time; without a zone it is UTC."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: a date or time such as 2017-10-01") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
