"""Times of events: ISO-8601 texts and epoch numbers to epoch seconds, and the correction of wrong client clocks."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache

from models.events.reasons import Refused, quoted

# As seconds this is the year 5138, as milliseconds March 1973: nothing real is ambiguous.
_MILLISECONDS_FROM = 1e11


def parse_time(value: str | int | float, field: str) -> float:
    """One time in epoch seconds.

    Parameters
    ----------
    value
        ISO-8601 in the forms that `datetime.fromisoformat` of Python 3.11 takes (no zone means UTC), or a
        number: epoch seconds, or epoch milliseconds from 1e11 on.
    field
        Name of the field, for the detail of a rejection.

    Raises
    ------
    Refused
        `bad_time`.
    """
    if isinstance(value, str):
        return _parse_text(value, field)
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise Refused("bad_time", f"{field}: the number is out of range")
    return seconds / 1000 if abs(seconds) >= _MILLISECONDS_FROM else seconds


def _parse_text(text: str, field: str) -> float:
    # fromisoformat also reads bare digits as a date (20260102), which an epoch number in quotes could be taken for.
    if not text.isdigit():
        try:
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            pass
    raise Refused("bad_time", f"{field}: {quoted(text, 40)} is neither ISO-8601 nor a number of epoch seconds")


def event_time(
    timestamp: str | int | float | None,
    original: str | int | float | None,
    sent: str | int | float | None,
    received: str | int | float | None,
) -> float:
    """When the event happened, in epoch seconds, by the rules of Segment's specification.

    `timestamp` wins. Without it, a client clock that is off is corrected by the server's: the event is as old at
    arrival as it was when the client sent it (receivedAt - (sentAt - originalTimestamp)). If one of the three
    is missing, the first of originalTimestamp, sentAt, receivedAt is taken as it is.

    Raises
    ------
    Refused
        `missing_time` or `bad_time`.
    """
    if timestamp is not None:
        return parse_time(timestamp, "timestamp")
    if original is not None and sent is not None and received is not None:
        age_s = parse_time(sent, "sentAt") - parse_time(original, "originalTimestamp")
        return parse_time(received, "receivedAt") - age_s
    for value, field in ((original, "originalTimestamp"), (sent, "sentAt"), (received, "receivedAt")):
        if value is not None:
            return parse_time(value, field)
    raise Refused("missing_time", "none of timestamp, originalTimestamp, sentAt, receivedAt is given")


@lru_cache(maxsize=8)
def earliest_time(text: str) -> float:
    """The setting events.earliest in epoch seconds.

    Raises
    ------
    ValueError
        If it is not ISO-8601.
    """
    try:
        return _parse_text(text, "events.earliest")
    except Refused as refused:
        raise ValueError(refused.detail) from None


def to_iso(time_s: float) -> str:
    """Epoch seconds as ISO-8601 UTC with milliseconds, the form of every time that Ebbtide writes."""
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
