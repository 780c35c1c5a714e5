"""Predictions that wait for their truth, customer by customer."""

from __future__ import annotations

import math

import cramjam
import msgspec
import numpy as np
import numpy.typing as npt

from models.churn.serving import Scored
from models.features import FEATURE_VERSION
from models.features.layout import DAY_S
from models.labels import LabelDefinition, Snapshot
from models.records import Example, ModelRef
from models.rows import pack_rows, unpack_row
from models.scoring import readable
from models.state import StateError
from models.table import PENDING, PENDING_DUE, SNAPSHOT_AT, SNAPSHOTS, Mask, Rows, Table

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Snapshot])


def waiting(blob: bytes) -> list[Snapshot]:
    """The predictions of the PENDING bytes, oldest first. Raises StateError."""
    try:
        return _decoder.decode(bytes(cramjam.lz4.decompress_block(blob))) if blob else []
    except (msgspec.MsgspecError, cramjam.DecompressionError) as exc:
        msg = f"cannot read {len(blob)} bytes of waiting predictions: {exc}"
        raise StateError(msg) from exc


def pack(pending: list[Snapshot]) -> bytes:
    """Inverse of `waiting`."""
    # A customer's rows of several weeks are much alike: LZ4 keeps them in two thirds, for a few microseconds a week.
    return bytes(cramjam.lz4.compress_block(_encoder.encode(pending))) if pending else b""


class Ledger:
    """Keeps, marks and settles the predictions of a table under one label definition."""

    def __init__(self, label: LabelDefinition) -> None:
        self._label = label
        self._every_s = label.settings.snapshot_every_days * DAY_S

    def remember(self, table: Table, rows: Rows, served: npt.NDArray[np.float32], scored: Scored, now: float) -> Mask:
        """Keep the prediction of every row whose last one is old enough; the answer says of which."""
        core, kept = table.core, table.blobs[PENDING]
        taken = now - core[rows, SNAPSHOT_AT] >= self._every_s
        for i in np.flatnonzero(taken).tolist():
            pending = waiting(kept[rows[i]])
            if len(pending) >= self._label.settings.max_pending:
                taken[i] = False
                continue
            snapshot = Snapshot(
                now, float(scored.probability[i]), float(scored.rule[i]), float(scored.prior[i]),
                scored.model.name, scored.model.version, FEATURE_VERSION, pack_rows(served[i : i + 1])[0],
            )  # fmt: skip
            self._keep(table, int(rows[i]), [*pending, snapshot])
        core[rows[taken], SNAPSHOT_AT] = now
        core[rows[taken], SNAPSHOTS] += 1
        return np.asarray(taken)

    def mark(self, table: Table, row: int, event_time: float) -> None:
        """A deciding event happened to a customer with predictions waiting."""
        pending = waiting(table.blobs[PENDING][row])
        if self._label.mark(pending, event_time):
            self._keep(table, row, pending)

    def settle(self, table: Table, row: int, now: float, durable_until: float) -> tuple[list[Example], float]:
        """The examples of a customer whose truth is known as of `now`; they wait no more.

        A prediction that was made after `durable_until` is held back: a crash could make it unmade, and its example
        would be one that no state knows of. The second answer is when the first of those was made, or infinite.
        """
        open_, examples, held_from = [], [], math.inf
        for snapshot in waiting(table.blobs[PENDING][row]):
            truth = self._label.truth(snapshot, now)
            if truth is not None and snapshot.as_of <= durable_until:
                examples.append(self._example(table.ids[row], snapshot, truth, now))
                continue
            open_.append(snapshot)
            if truth is not None:
                held_from = min(held_from, snapshot.as_of)
        self._keep(table, row, open_)
        return examples, held_from

    def _keep(self, table: Table, row: int, pending: list[Snapshot]) -> None:
        table.blobs[PENDING][row] = pack(pending)
        table.core[row, PENDING_DUE] = self._label.due_at(pending)

    def _example(self, customer_id: str, snapshot: Snapshot, truth: int, now: float) -> Example:
        return Example(
            example_id=f"{customer_id}@{snapshot.as_of:.3f}",
            customer_id=customer_id,
            as_of=snapshot.as_of,
            matured_at=now,
            horizon_days=self._label.settings.horizon_days,
            label=truth,
            probability=snapshot.probability,
            rule_probability=snapshot.rule_probability,
            prior_probability=snapshot.prior_probability,
            model=ModelRef(snapshot.model_name, snapshot.model_version),
            feature_version=snapshot.feature_version,
            features=tuple(readable(unpack_row(snapshot.vector)).tolist()),
        )
