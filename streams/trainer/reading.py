"""Records of topic `examples`, decoded once for the trainers of all horizons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from models.churn.control import Control, decode_control, is_control
from models.records import Example

#: What msgspec raises for bytes that are not what is expected; RecursionError when they are nested too deep.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
#: The largest 32-bit float.
LARGEST_FEATURE = 3.4028234663852886e38

_examples = msgspec.json.Decoder(Example)


class Read(msgspec.Struct, frozen=True):
    """A record as it was read: an example, a command, or what is wrong with it (`reason` and `detail`)."""

    record: Any
    example: Example | None = None
    control: Control | None = None
    reason: str = ""
    detail: str = ""


def read_records(records: Iterable[Any], feature_version: str, features: int) -> list[Read]:
    """Decode records; of this feature version only vectors of so many features are taken. Never raises."""
    return [_read(record, feature_version, features) for record in records]


def bad_ones(read: Sequence[Read]) -> list[Read]:
    """Those that belong into quarantine."""
    return [one for one in read if one.reason]


def _read(record: Any, feature_version: str, features: int) -> Read:
    if is_control(record.key, record.value):
        try:
            return Read(record, control=decode_control(record.value))
        except UNREADABLE as error:
            return Read(record, reason="malformed_control", detail=str(error))
    try:
        example = _examples.decode(record.value if record.value is not None else b"")
        if example.feature_version == feature_version:
            _check(example, features)
    except UNREADABLE as error:
        return Read(record, reason="malformed_example", detail=str(error))
    return Read(record, example=example)


def _check(example: Example, features: int) -> None:
    """Raise `msgspec.ValidationError` for a vector that contradicts its own version."""
    if len(example.features) != features:
        raise msgspec.ValidationError(
            f"{len(example.features)} features of version '{example.feature_version}' (allowed: {features})"
        )
    if any(abs(value) > LARGEST_FEATURE for value in example.features if value is not None):
        raise msgspec.ValidationError(f"a feature is beyond {LARGEST_FEATURE} (vectors are 32-bit floats)")
