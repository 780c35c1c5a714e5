"""The history record: the league table, what is served and why, which versions are kept. Key `<label>:history`.

Whoever wants to know how the models stand reads this record from topic `model`; the trainer need not be asked.
"""

from __future__ import annotations

import msgspec

from models.churn.alarms import Alarm
from models.churn.control import Answer
from models.churn.league import Standing
from models.churn.versions import Versions


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a history record.

    `served` is the version on topic `model`, `champion` the league's first, `clock` the event time up to which
    examples were learned (epoch seconds, null before the first). `answers` are those to the last commands, `drift` the
    last alarms.
    """

    format: int = 1
    key: str
    served: str
    champion: str
    why: str
    promotion: str
    promotion_error: float
    offset: int
    examples: int
    positives: int
    waiting: int
    clock: float | None
    standings: tuple[Standing, ...]
    drift: tuple[Alarm, ...] = ()
    versions: Versions
    answers: tuple[Answer, ...]


_decoder = msgspec.json.Decoder(History)


def history_key(key: str) -> bytes:
    """The key of the history record of a label key."""
    return f"{key}:history".encode()


def version_key(key: str, version: str) -> bytes:
    """The key of the record of a kept version."""
    return f"{key}:version:{version}".encode()


def encode_history(history: History) -> bytes:
    return msgspec.json.encode(history)


def decode_history(raw: bytes) -> History:
    """Raises msgspec.MsgspecError for bytes that are no history record."""
    return _decoder.decode(raw)
