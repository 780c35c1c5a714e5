"""Which scores are worth telling, and the records that tell them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec
import numpy as np
import numpy.typing as npt

from models.churn.serving import ServingModel
from models.features import FEATURE_NAMES, FEATURE_VERSION
from models.guards import offsets_of
from models.look import Look
from models.ranks import Ranks
from models.records import ModelRef, Reason, Score
from models.scoring import iso, readable, score_id, served
from models.settings import Settings
from models.table import BAND, DUE_AT, EMITTED_AT, LAST_EVENTS, PROBABILITY, REVISION, WATERMARK, Mask, Rows, Table

Served = npt.NDArray[np.float32]
Stamps = tuple[float, float, float]
#: Names of the band codes of the table; 0 stands for nothing told yet.
BANDS = ("", "low", "medium", "high", "critical", "left")
LEFT = float(BANDS.index("left"))


class _ByName(msgspec.Struct, frozen=True, gc=False):
    """A vector by name, as `Score.features` is: read like a dict and written like one, but made ten times as fast."""

    def __getitem__(self, name: str) -> float:
        return cast("float", getattr(self, name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.__struct_fields__)

    keys = __iter__


_Vector = msgspec.defstruct(
    "_Vector", [(name, float) for name in FEATURE_NAMES], bases=(_ByName,), frozen=True, gc=False
)


class Teller:
    """Decides and writes the scores of one partition's table."""

    def __init__(self, settings: Settings, sources: tuple[str, ...]) -> None:
        self.ranks = Ranks()
        self._score = settings.score
        self._label = settings.label
        self._sources = sources
        self._steps = np.array([settings.score.medium_from, settings.score.high_from, settings.score.critical_from])

    def tell(
        self, table: Table, model: ServingModel, look: Look, again: Mask, stamps: Stamps
    ) -> tuple[Mask, list[Score]]:
        """Tell the scores of a look that changed, are old, or are asked for `again`; the mask says which were told."""
        rows, x, now = look.scored, look.served, look.now
        last = table.core[rows]
        probability = look.scores.first.probability
        bands = (1 + np.searchsorted(self._steps, probability, side="right")).astype(np.float64)
        told = (
            again
            | (last[:, REVISION] == 0)
            | (bands != last[:, BAND])
            # Nothing told yet, or told while out of the cohort: no probability to compare with.
            | ~(np.abs(probability - last[:, PROBABILITY]) < self._score.min_change)
            | (now - last[:, EMITTED_AT] >= self._score.refresh_every_s)
        )
        chosen = np.flatnonzero(told)
        reasons = model.reasons(x[chosen], self._score.top_reasons)
        self._write(table, rows[chosen], probability[chosen], bands[chosen], now)
        others = {f"{days:g}": scored.probability[chosen] for days, scored in look.scores.others.items()}
        return told, self._records(table, model, rows[chosen], x[chosen], reasons, _by_row(others, chosen), stamps)

    def leave(self, table: Table, model: ServingModel, rows: Rows, now: float, stamps: Stamps) -> list[Score]:
        """Tell that customers are out of the cohort: they have left, or were silent for too long."""
        if not len(rows):
            return []
        self._write(table, rows, np.full(len(rows), np.nan), np.full(len(rows), LEFT), now)
        reasons: list[tuple[Reason, ...]] = [()] * len(rows)
        others: list[dict[str, float]] = [{}] * len(rows)
        return self._records(table, model, rows, served(table.features(rows, now)), reasons, others, stamps)

    def _write(
        self, table: Table, rows: Rows, probability: npt.NDArray[np.float64], bands: npt.NDArray[np.float64], now: float
    ) -> None:
        core = table.core
        self.ranks.move(core[rows, PROBABILITY], probability)
        core[rows, PROBABILITY], core[rows, BAND] = probability, bands
        core[rows, REVISION] += 1
        core[rows, EMITTED_AT] = now

    def _records(
        self, table: Table, model: ServingModel, rows: Rows, x: Served, reasons: list[tuple[Reason, ...]],
        others: list[dict[str, float]], stamps: Stamps,
    ) -> list[Score]:  # fmt: skip
        as_of, watermark, scored_at = map(iso, stamps)
        block = table.core[rows]
        told = np.where(np.isnan(block[:, PROBABILITY]), 1.0, block[:, PROBABILITY])
        columns = zip(
            rows.tolist(), told.tolist(), block[:, BAND].tolist(), block[:, REVISION].tolist(), reasons,
            self.ranks.percentiles(told).tolist(), readable(x).tolist(),
            offsets_of(table, rows.tolist(), self._sources), others, strict=True,
        )  # fmt: skip
        ref = ModelRef(model.champion, model.version)
        return [
            Score(
                score_id=score_id(table.ids[row], int(revision), as_of, model.version),
                customer_id=table.ids[row],
                probability=probability,
                band=BANDS[int(band)],
                likelihood_to_churn=band != LEFT and probability >= self._score.likely_from,
                eligible=band != LEFT,
                percentile=percentile,
                horizon_days=self._label.horizon_days,
                label_kind=self._label.kind,
                reasons=why,
                model=ref,
                feature_version=FEATURE_VERSION,
                source_offsets=offsets,
                as_of=as_of,
                event_watermark=watermark,
                scored_at=scored_at,
                revision=int(revision),
                features=cast("dict[str, float | None]", _Vector(*features)),
                other_horizons=elsewhere,
            )
            for row, probability, band, revision, why, percentile, features, offsets, elsewhere in columns
        ]


def _by_row(columns: dict[str, npt.NDArray[np.float64]], rows: Rows) -> list[dict[str, float]]:
    if not columns:
        return [{}] * len(rows)
    return [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]


def idle_rows(table: Table, before: float) -> Rows:
    """Who is out of the cohort and told so, or never was in it, has nothing waiting, and no event since `before`."""
    core = table.core
    # The watermark stands for events that no group remembers the time of.
    quiet = np.max(core[:, [*LAST_EVENTS, WATERMARK]], axis=1) < before
    return np.flatnonzero(quiet & np.isinf(core[:, DUE_AT]) & np.isin(core[:, BAND], (0.0, LEFT)))
