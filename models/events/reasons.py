"""Why an event is refused: the codes of quarantine records, and the exception that carries one inside the decoder."""

from __future__ import annotations

from typing import Final

#: Code -> meaning. Every rejection carries one of these codes, and metrics are labelled with them.
REASONS: Final[dict[str, str]] = {
    "tombstone": "the record has no value (null)",
    "empty": "the value has no bytes, or only white space",
    "too_large": "the value has more bytes than events.max_bytes",
    "not_utf8": "the value is not valid UTF-8",
    "malformed_json": "the value is not exactly one valid JSON document",
    "too_deep": "objects and arrays are nested deeper than events.max_depth",
    "not_an_object": "the value is JSON, but not an object",
    "wrong_type": "a field that matters has a JSON type that is not allowed there",
    "unknown_type": "`type` is missing or not a call of the event specification",
    "missing_event": "a track call has no `event` name",
    "unknown_event": "the topic takes only the events of the catalog, and this name is not one of them",
    "wrong_topic": "the event belongs on another topic",
    "missing_id": "neither `userId` nor `anonymousId` is given",
    "bad_id": "an id holds control characters or begins with a reserved prefix",
    "too_long": "an id or the event name is too long",
    "missing_time": "none of `timestamp`, `originalTimestamp`, `sentAt` and `receivedAt` is given",
    "bad_time": "a time is neither ISO-8601 nor a finite number of epoch seconds or milliseconds",
    "future_time": "the event lies more than events.max_future_s after the present",
    "ancient_time": "the event lies before events.earliest",
    "late": "the event lies more than events.max_late_s behind the watermark of its partition",
    "bad_number": "an amount, quantity, rating or duration is not a finite number from 0 to 1e12",
    "bad_conversation": "a conversation has no id, or its channel is not chat, call or email",
    "internal_error": "the decoder itself failed; this is a defect of Ebbtide, not of the event",
}


class Refused(Exception):  # noqa: N818 - not a failure: an outcome of decoding
    """Ends decoding with a reason. Never leaves `models.events.decode.decode`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def quoted(text: str, limit: int = 80) -> str:
    """A value of the event for a detail, cut to `limit` characters; repr keeps control characters visible."""
    return repr(text if len(text) <= limit else text[:limit] + "…")
