"""Predictions that wait for their truth, customer by customer, and the ledger lines that tell what becomes of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import cramjam
import msgspec
import numpy as np
import numpy.typing as npt

from models.features import FEATURE_VERSION
from models.features.layout import DAY_S
from models.forecast import Forecaster, Scores
from models.labels import OUTCOMES, UNKNOWN, Forecast, LabelDefinition, Snapshot, is_open
from models.records import Example, LabelRecord, ModelRef, Status
from models.rows import pack_rows, unpack_row
from models.scoring import readable
from models.state import StateError
from models.table import PENDING, PENDING_DUE, SNAPSHOT_AT, SNAPSHOTS, Mask, Rows, Table

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Snapshot])


def waiting(blob: bytes) -> list[Snapshot]:
    """The predictions of the PENDING bytes, oldest first, those told and kept for late events too. Raises StateError"""
    try:
        return _decoder.decode(bytes(cramjam.lz4.decompress_block(blob))) if blob else []
    except (msgspec.MsgspecError, cramjam.DecompressionError) as exc:
        msg = f"cannot read {len(blob)} bytes of waiting predictions: {exc}"
        raise StateError(msg) from exc


def pack(pending: list[Snapshot]) -> bytes:
    """Inverse of `waiting`."""
    # A customer's rows of several weeks are much alike: LZ4 keeps them in two thirds, for a few microseconds a week.
    return bytes(cramjam.lz4.compress_block(_encoder.encode(pending))) if pending else b""


class Settled(NamedTuple):
    """What became known. `held_from`: when the first prediction that had to be held back was made, or infinite."""

    examples: list[Example]
    labels: list[LabelRecord]
    held_from: float


class Ledger:
    """Keeps, marks and settles the predictions of a table under one label definition."""

    def __init__(self, label: LabelDefinition) -> None:
        self._label = label
        self._every_s = label.settings.snapshot_every_days * DAY_S

    def remember(
        self, table: Table, rows: Rows, served: npt.NDArray[np.float32], scores: Scores, models: Forecaster, now: float
    ) -> tuple[Mask, list[LabelRecord]]:
        """Keep the prediction of every row whose last one is old enough; the mask says of which."""
        core, kept = table.core, table.blobs[PENDING]
        taken = now - core[rows, SNAPSHOT_AT] >= self._every_s
        before = {}
        for i in np.flatnonzero(taken).tolist():
            before[i] = self._remembered(waiting(kept[rows[i]]), now)
            taken[i] = sum(map(is_open, before[i])) < self._label.settings.max_pending
        at = np.flatnonzero(taken)
        lines: list[LabelRecord] = []
        if len(at):
            chosen = served[at]
            own, vectors = models.own(chosen), pack_rows(chosen)
            for j, i in enumerate(at.tolist()):
                forecasts = [_forecast(scores, number, i, said[j]) for number, said in enumerate(own)]
                snapshot = Snapshot(now, FEATURE_VERSION, vectors[j], forecasts)
                self._keep(table, int(rows[i]), [*before[i], snapshot])
                lines += [self._line(table.ids[rows[i]], snapshot, n, "pending", now) for n in range(len(forecasts))]
            core[rows[at], SNAPSHOT_AT] = now
            core[rows[at], SNAPSHOTS] += 1
        return np.asarray(taken), lines

    def mark(self, table: Table, row: int, event_time: float, bits: int) -> None:
        """An event that decides or revises happened to a customer with predictions waiting."""
        pending = waiting(table.blobs[PENDING][row])
        if self._label.mark(pending, event_time, bits):
            self._keep(table, row, pending)

    def settle(self, table: Table, row: int, now: float, durable_until: float) -> Settled:
        """What is known as of `now` of one customer's predictions and was not told, or told otherwise.

        A prediction that was made after `durable_until` is held back: a crash could make it unmade, and its example
        would be one that no state knows of.
        """
        settled = Settled([], [], math.inf)
        pending = waiting(table.blobs[PENDING][row])
        for snapshot in pending:
            for number, forecast in enumerate(snapshot.forecasts):
                outcome = self._label.outcome(snapshot, number, now)
                if outcome in (UNKNOWN, forecast.told):
                    continue
                if snapshot.as_of > durable_until:
                    settled = settled._replace(held_from=min(settled.held_from, snapshot.as_of))
                    continue
                self._tell(settled, table.ids[row], snapshot, number, outcome, now)
        for snapshot in pending:
            snapshot.vector = snapshot.vector if is_open(snapshot) else b""
        self._keep(table, row, self._remembered(pending, now))
        return settled

    def _tell(
        self, settled: Settled, customer_id: str, snapshot: Snapshot, number: int, outcome: int, now: float
    ) -> None:
        forecast = snapshot.forecasts[number]
        label = self._label.label_of(outcome)
        first, forecast.told = forecast.told == UNKNOWN, outcome
        status: Status = "revised" if not first else "matured" if label is not None else "void"
        settled.labels.append(self._line(customer_id, snapshot, number, status, now))
        if first and label is not None:
            settled.examples.append(self._example(customer_id, snapshot, number, label, now))

    def _remembered(self, pending: list[Snapshot], now: float) -> list[Snapshot]:
        """Without those that were told so long ago that no late event can revise them."""
        return [one for one in pending if is_open(one) or now < self._label.forgotten_at(one)]

    def _keep(self, table: Table, row: int, pending: list[Snapshot]) -> None:
        table.blobs[PENDING][row] = pack(pending)
        table.core[row, PENDING_DUE] = self._label.due_at(pending)

    def _line(self, customer_id: str, snapshot: Snapshot, number: int, status: Status, now: float) -> LabelRecord:
        forecast, settings = snapshot.forecasts[number], self._label.settings
        return LabelRecord(
            customer_id=customer_id,
            as_of=snapshot.as_of,
            horizon_days=self._label.horizons[number],
            gap_days=settings.gap_days,
            label_kind=settings.kind,
            status=status,
            outcome=OUTCOMES[forecast.told],
            label=self._label.label_of(forecast.told),
            probability=forecast.probability,
            rule_probability=forecast.rule_probability,
            prior_probability=forecast.prior_probability,
            own=forecast.own,
            model=ModelRef(forecast.model_name, forecast.model_version),
            feature_version=snapshot.feature_version,
            known_at=now,
            due_at=self._label.ends_at(snapshot, number),
        )

    def _example(self, customer_id: str, snapshot: Snapshot, number: int, label: int, now: float) -> Example:
        forecast, days = snapshot.forecasts[number], self._label.horizons[number]
        return Example(
            example_id=f"{customer_id}@{snapshot.as_of:.3f}" + (f"/{days:g}d" if number else ""),
            customer_id=customer_id,
            as_of=snapshot.as_of,
            matured_at=now,
            horizon_days=days,
            gap_days=self._label.settings.gap_days,
            label=label,
            probability=forecast.probability,
            rule_probability=forecast.rule_probability,
            prior_probability=forecast.prior_probability,
            own=forecast.own,
            model=ModelRef(forecast.model_name, forecast.model_version),
            feature_version=snapshot.feature_version,
            features=tuple(readable(unpack_row(snapshot.vector)).tolist()),
        )


def _forecast(scores: Scores, number: int, row: int, own: dict[str, float]) -> Forecast:
    scored = scores.of(number)
    return Forecast(
        float(scored.probability[row]), float(scored.rule[row]), float(scored.prior[row]), own,
        scored.model.name, scored.model.version,
    )  # fmt: skip
