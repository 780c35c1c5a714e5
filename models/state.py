"""The state of one customer: summaries, labels in waiting, the last score and the guards against doubles.

On the changelog a state is a fixed header followed by MessagePack. The header lets a restarted worker
plan its timers without decoding a customer that nobody has touched yet.
"""

from __future__ import annotations

import hashlib
import math
import struct

import msgspec

from models.features import GROUPS
from models.features.summary import Summary, merge, new_summary
from models.labels import LabelState, Snapshot

STATE_FORMAT = 1
_HEADER = struct.Struct("<Bdf")
_LAYOUTS = {group.name: group.layout for group in GROUPS}


class StateError(ValueError):
    """Bytes are not a customer state of a known format."""


class LastScore(msgspec.Struct, array_like=True):
    """What was emitted last; `revision` 0 means nothing yet."""

    probability: float = math.nan
    band: str = ""
    revision: int = 0
    emitted_at: float = -math.inf
    model: str = ""


class CustomerState(msgspec.Struct, array_like=True):
    """Everything kept of a customer. `offsets` maps `topic/partition` to the last applied offset.

    `recent` holds hashes of the last message ids. `due_at` is when the clock must look again.
    """

    customer_id: str
    summaries: dict[str, Summary] = {}
    offsets: dict[str, int] = {}
    recent: list[int] = []
    label: LabelState = msgspec.field(default_factory=LabelState)
    pending: list[Snapshot] = []
    snapshot_at: float = -math.inf
    last: LastScore = msgspec.field(default_factory=LastScore)
    due_at: float = math.inf

    def summary(self, group: str) -> Summary:
        """The group's summary, made if missing."""
        found = self.summaries.get(group)
        if found is None:
            found = self.summaries[group] = new_summary(_LAYOUTS[group])
        return found

    def is_duplicate(self, message_id: str, window: int) -> bool:
        """Whether this message id was among the last `window`; remembers it otherwise."""
        digest = message_hash(message_id)
        if digest in self.recent:
            return True
        self.recent.append(digest)
        if len(self.recent) > window:
            del self.recent[: len(self.recent) - window]
        return False


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(CustomerState)


def encode_state(state: CustomerState) -> bytes:
    """The changelog value of a state."""
    return _HEADER.pack(STATE_FORMAT, state.due_at, state.last.probability) + _encoder.encode(state)


def decode_state(raw: bytes) -> CustomerState:
    """Inverse of `encode_state`. Raises StateError for foreign or damaged bytes, and for another layout of a group."""
    peek_due(raw)
    try:
        state = _decoder.decode(memoryview(raw)[_HEADER.size :])
    except msgspec.MsgspecError as exc:
        msg = f"cannot decode a customer state of {len(raw)} bytes: {exc}"
        raise StateError(msg) from exc
    # A group that is no longer there would fail at its first use; a group that is new starts empty.
    state.summaries = {name: summary for name, summary in state.summaries.items() if name in _LAYOUTS}
    changed = [name for name, summary in state.summaries.items() if not summary.fits(_LAYOUTS[name])]
    if changed:
        msg = (
            f"the state of customer {state.customer_id!r} was kept with other summaries of {', '.join(changed)}; "
            "allowed: the same layout, or another broker.topic_prefix and the events replayed"
        )
        raise StateError(msg)
    return state


def peek_due(raw: bytes) -> tuple[float, float]:
    """(due_at, last probability) from the header alone. Raises StateError."""
    if len(raw) <= _HEADER.size or raw[0] != STATE_FORMAT:
        found = raw[:1].hex() or "none"
        msg = f"cannot read a customer state of {len(raw)} bytes, format {found}; allowed: format 0{STATE_FORMAT}"
        raise StateError(msg)
    _, due_at, probability = _HEADER.unpack_from(raw)
    return due_at, probability


def merge_states(left: CustomerState, right: CustomerState) -> dict[str, Summary]:
    """The summaries of two histories of one customer in one."""
    merged = {}
    for name, layout in _LAYOUTS.items():
        sides = [state.summaries[name] for state in (left, right) if name in state.summaries]
        if sides:
            merged[name] = sides[0] if len(sides) == 1 else merge(layout, *sides)
    return merged


def message_hash(message_id: str) -> int:
    """64 bits of BLAKE2b: doubles are told apart from strangers with an error below 1e-17 per comparison."""
    digest = hashlib.blake2b(message_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
