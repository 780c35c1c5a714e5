"""The ledger of a backtest: what `models.pending` keeps in each customer's state, kept in columns.

The worker packs predictions that wait for the truth into the state of their customer, so that they survive it, and
tells every line of the ledger. Nothing needs to survive a backtest and nobody reads lines, so here the predictions of a
step stay the matrix that they were, and the truth is looked up for all of them at once (`models.backtest.truth`).
The examples are the same, in the same order; the tests compare the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.backtest.truth import STAYED, Truth
from models.features import FEATURE_VERSION
from models.features.layout import DAY_S, Integers
from models.forecast import Forecaster, Scores
from models.labels import LabelDefinition
from models.pending import Ledger
from models.records import Example, LabelRecord, ModelRef
from models.scoring import readable
from models.settings import LabelSettings
from models.table import SNAPSHOT_AT, SNAPSHOTS, Mask, Rows, Table

Said = tuple[float, float, float, dict[str, float]]


class _Kept(NamedTuple):
    """Predictions of one moment: `said` and `open` are by horizon, then by row; `open` are those not told yet."""

    as_of: float
    rows: Integers
    served: npt.NDArray[np.float32]
    said: list[list[Said]]
    models: list[ModelRef]
    open: list[Mask]


class ColumnLedger(Ledger):
    """Takes the place of the worker's ledger in an engine; `examples` must be asked for at every step."""

    def __init__(self, label: LabelDefinition) -> None:
        super().__init__(label)
        self._kept: list[_Kept] = []

    @staticmethod
    def fits(label: LabelSettings) -> bool:
        """Whether `label.max_pending` never keeps a prediction from being kept, since it is not looked at here."""
        longest = label.gap_days + max(label.horizon_days, *label.other_horizons_days, 0.0)
        return math.ceil(longest / label.snapshot_every_days) <= label.max_pending

    def __len__(self) -> int:
        return sum(int(np.logical_or.reduce(kept.open).sum()) for kept in self._kept)

    def remember(
        self, table: Table, rows: Rows, served: npt.NDArray[np.float32], scores: Scores, models: Forecaster, now: float
    ) -> tuple[Mask, list[LabelRecord]]:
        """As the worker's, but without lines."""
        core = table.core
        taken = np.asarray(now - core[rows, SNAPSHOT_AT] >= self._every_s)
        if taken.any():
            at, chosen = rows[taken], served[taken]
            scored = [scores.of(number) for number in range(len(self._label.horizons))]
            columns = [(one.probability[taken], one.rule[taken], one.prior[taken]) for one in scored]
            said = [
                list(zip(*(column.tolist() for column in three), own, strict=True))
                for three, own in zip(columns, models.own(chosen), strict=True)
            ]
            is_open = [np.ones(len(at), dtype=bool) for _ in scored]
            self._kept.append(_Kept(now, at, chosen, said, [one.model for one in scored], is_open))
            core[at, SNAPSHOT_AT] = now
            core[at, SNAPSHOTS] += 1
        return taken, []

    def examples(self, now: float, truth: Truth, touched: Sequence[int], ids: Sequence[str]) -> list[Example]:
        """What became known at a step: by customer, then by the time of the prediction, then by horizon.

        `truth` needs to know no more than the longest window before `now`, but all of it. `touched` are the rows of
        customers of whom it learned something at this step, `ids` the customers by row.
        """
        found: list[tuple[int, float, int, Example]] = []
        who = np.array(sorted(touched), dtype=np.int64)
        for kept in self._kept:
            plain: list[tuple[Any, ...]] | None = None
            for number, days in enumerate(self._label.horizons):
                known = self._known(kept, number, days, now, truth, who)
                if len(known):
                    plain = plain or _plain(kept.served)
                    found += self._told(kept, number, known, plain, truth, ids, now)
        self._kept = [kept for kept in self._kept if any(is_open.any() for is_open in kept.open)]
        found.sort(key=lambda one: one[:3])
        return [example for *_, example in found]

    def _known(self, kept: _Kept, number: int, days: float, now: float, truth: Truth, touched: Integers) -> Integers:
        """Places of open predictions whose truth is known."""
        is_open = kept.open[number]
        if now >= kept.as_of + (self._label.settings.gap_days + days) * DAY_S:
            return np.flatnonzero(is_open)
        if self._label.settings.kind != "cancellation" or not len(touched):
            return np.empty(0, dtype=np.int64)
        places = np.flatnonzero(is_open & np.isin(kept.rows, touched))
        return np.asarray(places[self._outcomes(kept, number, places, truth) != STAYED])

    def _outcomes(self, kept: _Kept, number: int, places: Integers, truth: Truth) -> npt.NDArray[np.int8]:
        as_of = np.full(len(places), kept.as_of)
        return truth.outcomes(kept.rows[places], as_of, self._label.horizons[number], math.inf)

    def _told(
        self, kept: _Kept, number: int, places: Integers, plain: list[tuple[Any, ...]], truth: Truth,
        ids: Sequence[str], now: float,
    ) -> list[tuple[int, float, int, Example]]:  # fmt: skip
        labels = truth.labels(self._outcomes(kept, number, places, truth))
        kept.open[number][places] = False
        days, gap_days = self._label.horizons[number], self._label.settings.gap_days
        behind = f"@{kept.as_of:.3f}" + (f"/{days:g}d" if number else "")
        told = []
        for place, label in zip(places[labels >= 0].tolist(), labels[labels >= 0].tolist(), strict=True):
            row = int(kept.rows[place])
            probability, rule, prior, own = kept.said[number][place]
            example = Example(
                example_id=ids[row] + behind, customer_id=ids[row], as_of=kept.as_of, matured_at=now,
                horizon_days=days, gap_days=gap_days, label=label, probability=probability, rule_probability=rule,
                prior_probability=prior, own=own, model=kept.models[number], feature_version=FEATURE_VERSION,
                features=plain[place],
            )  # fmt: skip
            told.append((row, kept.as_of, number, example))
        return told


def _plain(served: npt.NDArray[np.float32]) -> list[tuple[Any, ...]]:
    """The rows as examples carry them: short decimals, None where unknown."""
    values = readable(served)
    told = values.astype(object)
    told[np.isnan(values)] = None
    return list(map(tuple, told.tolist()))
