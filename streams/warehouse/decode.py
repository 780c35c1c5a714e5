"""Record values to rows: strictly, and one bad record at a time.

A score's value of null is a deletion in the sense of a compacted topic: the customer is to be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from models.records import LabelRecord, Score
from streams.warehouse.schema import FEATURE_NAME, MAX_FEATURES, RESERVED_NAMES

#: Why a record was not taken, by code.
REASONS = {
    "no_value": "the record has no value, and its topic has no deletions",
    "no_key": "a deletion without a customer id as its key",
    "not_json": "the value is not JSON in UTF-8",
    "wrong_shape": "the value is JSON, but not a record of the topic: a field is missing, mistyped or out of range",
    "schema_version": "the record is of a version that this program does not know",
    "bad_time": "a time is not ISO-8601",
    "bad_feature": "a feature's name cannot be a column, or there are too many features",
}

_Record = TypeVar("_Record")
_KNOWN_VERSION = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class BadRecord(ValueError):  # noqa: N818 - the record is what is bad
    """A record that does not become a row. `reason` is one of REASONS."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class ScoreRow(msgspec.Struct, frozen=True, gc=False):
    """A score with its times in microseconds since 1970 and the generation of its topic."""

    score: Score
    as_of_us: int
    event_watermark_us: int
    scored_at_us: int
    generation: int


class Decoder:
    """Decodes values of both topics; remembers the feature names that it has found to be good."""

    def __init__(self, known_features: Iterable[str] = ()) -> None:
        self._known = set(known_features)
        self._scores = msgspec.json.Decoder(Score)
        self._labels = msgspec.json.Decoder(LabelRecord)

    def score(self, raw: bytes, generation: int) -> ScoreRow:
        """Decode a value of topic `scores`. Raises BadRecord."""
        score = _decoded(self._scores, raw)
        _check_version(score.schema_version)
        if not score.features.keys() <= self._known:
            self._learn_names(score.features.keys() - self._known)
        return ScoreRow(
            score,
            _microseconds("as_of", score.as_of),
            _microseconds("event_watermark", score.event_watermark),
            _microseconds("scored_at", score.scored_at),
            generation,
        )

    def label(self, raw: bytes | None) -> LabelRecord:
        """Decode a value of topic `labels`. Raises BadRecord."""
        if raw is None:
            raise BadRecord("no_value", "a line of the label ledger must have a value")
        label = _decoded(self._labels, raw)
        _check_version(label.schema_version)
        return label

    def customer(self, key: bytes | None) -> str:
        """The customer that a deletion names by its key. Raises BadRecord."""
        try:
            customer_id = (key or b"").decode()
        except UnicodeDecodeError as error:
            raise BadRecord("no_key", f"the key is not UTF-8: {error}") from None
        if not customer_id:
            raise BadRecord("no_key", "the key is empty")
        return customer_id

    def _learn_names(self, names: Iterable[str]) -> None:
        fresh = set(names)
        for name in fresh:
            if name in RESERVED_NAMES or not FEATURE_NAME.fullmatch(name):
                raise BadRecord("bad_feature", f"feature name {name[:80]!r}: want {FEATURE_NAME.pattern}")
        if len(self._known) + len(fresh) > MAX_FEATURES:
            raise BadRecord("bad_feature", f"{len(fresh)} new feature names would make more than {MAX_FEATURES}")
        self._known |= fresh


def _decoded(decoder: msgspec.json.Decoder[_Record], raw: bytes) -> _Record:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise BadRecord("wrong_shape", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord("not_json", str(error)) from None


def _check_version(version: int) -> None:
    if version != _KNOWN_VERSION:
        raise BadRecord("schema_version", f"schema_version is {version}, known: {_KNOWN_VERSION}")


def _microseconds(field: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRecord("bad_time", f"{field} is {text[:80]!r}: want ISO-8601, like 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return (moment - _EPOCH) // _MICROSECOND
    except OverflowError:
        raise BadRecord("bad_time", f"{field} is {text[:80]!r}: outside the years 1 to 9999 in UTC") from None
