"""The checkpoint record: all that a learner knows, in one record or, where that is too large, in a few.

The record of key `<label>:checkpoint` holds the learner's state, or the keys of the records that hold its pieces. The
pieces lie before it on the topic and have a name of their own for each offset, so that a writer which is killed half
way leaves the checkpoint before as it was. Pieces that no checkpoint names any longer are deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from models.churn.control import Answer
from models.churn.record import InvalidModel
from models.churn.versions import Versions
from streams.chunks import Outgoing
from streams.trainer.reading import UNREADABLE

FORMAT = 4
#: Most bytes of state in one record, before compression; the topic takes 2 MiB.
PIECE_BYTES = 1_000_000


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The value of a checkpoint record. `sha256` is that of the bytes of the whole state.

    `offset` is that of the last example or command read. `waiting` of the examples at or above offset `waiting_from`
    were not learned: the ones whose horizon ends after `clock` (epoch seconds, null before the first example). They
    are read again instead of being stored. `state` is null where `pieces` names the records that hold it.
    """

    format: int = FORMAT
    offset: int
    clock: float | None
    examples: int
    waiting: int
    waiting_from: int | None
    versions: Versions
    answers: list[Answer]
    sha256: str
    state: msgspec.Raw = msgspec.Raw(b"null")
    pieces: list[str] = []


class Written(NamedTuple):
    """The records of a checkpoint in the order of sending, and the keys of its pieces."""

    records: list[Outgoing]
    pieces: list[str]


_decoder = msgspec.json.Decoder(Checkpoint)


def write(key: str, state: Mapping[str, Any], **facts: Any) -> Written:
    """The records of a checkpoint under a key; `facts` are its fields but for those of the state."""
    raw = msgspec.json.encode(state)
    digest = hashlib.sha256(raw).hexdigest()
    if len(raw) <= PIECE_BYTES:
        whole = Checkpoint(sha256=digest, state=msgspec.Raw(raw), **facts)
        return Written([Outgoing(key.encode(), msgspec.json.encode(whole))], [])
    cuts = range(0, len(raw), PIECE_BYTES)
    pieces = [f"{key}:{facts['offset']}:{number}" for number, _ in enumerate(cuts, start=1)]
    head = Checkpoint(sha256=digest, pieces=pieces, **facts)
    records = [Outgoing(name.encode(), raw[cut : cut + PIECE_BYTES]) for name, cut in zip(pieces, cuts, strict=True)]
    return Written([*records, Outgoing(key.encode(), msgspec.json.encode(head))], pieces)


def read(raw: bytes, pieces: Mapping[bytes, bytes]) -> tuple[Checkpoint, dict[str, Any]]:
    """A checkpoint and its state; `pieces` are records by key.

    Raises
    ------
    InvalidModel
        When it is malformed, of another format, damaged, or a piece of it is missing.
    """
    try:
        checkpoint = _decoder.decode(raw)
        missing = [name for name in checkpoint.pieces if name.encode() not in pieces]
        if missing:
            raise InvalidModel(f"of the checkpoint at offset {checkpoint.offset} the pieces {missing} are missing")
        parts = [pieces[name.encode()] for name in checkpoint.pieces]
        whole = b"".join(parts) if parts else bytes(checkpoint.state)
        plain = msgspec.json.decode(whole)
    except UNREADABLE as error:
        raise InvalidModel(f"not a checkpoint: {error}") from error
    digest = hashlib.sha256(whole).hexdigest()
    if checkpoint.format != FORMAT or checkpoint.sha256 != digest or checkpoint.offset < 0:
        raise InvalidModel(
            f"format {checkpoint.format}, offset {checkpoint.offset}, sha256 '{checkpoint.sha256[:80]}' "
            f"(allowed: format {FORMAT}, offset from 0, sha256 '{digest}')"
        )
    if not isinstance(plain, dict):
        raise InvalidModel("the checkpoint's state is not an object")
    return checkpoint, plain
