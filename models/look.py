"""One look at customers of a table as of a clock: what became known of their predictions, and their new scores."""

from __future__ import annotations

import math
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models import table as t
from models.features import FEATURES
from models.forecast import Forecaster, Scores
from models.labels import LabelDefinition
from models.pending import Ledger
from models.records import Example, LabelRecord
from models.schedule import Schedule
from models.scoring import served
from models.settings import Settings
from models.table import Mask, Rows, Table


class Look(NamedTuple):
    """What one look found.

    `rows` are the customers looked at; `changed` and `eligible` are masks over them: whose state is to be made durable,
    and who is in the cohort. `served` (eligible customers x features) and `scores` are of the eligible ones, in order.
    """

    now: float
    rows: Rows
    changed: Mask
    eligible: Mask
    served: npt.NDArray[np.float32]
    scores: Scores
    examples: list[Example]
    labels: list[LabelRecord]

    @property
    def scored(self) -> Rows:
        """The rows of the table that were scored."""
        return self.rows[self.eligible]


class Looker:
    """Looks at rows of a table under one label definition, with the models in use, and plans the next look."""

    def __init__(
        self, settings: Settings, label: LabelDefinition, ledger: Ledger, schedule: Schedule, models: Forecaster
    ) -> None:
        self._label, self._ledger, self._schedule, self._models = label, ledger, schedule, models
        self._every_s = settings.score.rescore_every_s

    def look(self, table: Table, rows: Rows, touched: AbstractSet[int], now: float, durable_until: float) -> Look:
        """Settle, score and remember the predictions of `rows`. `touched` are those whose events were folded in."""
        changed = np.isin(rows, np.fromiter(touched, np.int64, len(touched)))
        examples, labels = self._settle(table, rows, changed, now, durable_until)
        left, back, active, bought = table.core[rows][:, [t.LEFT_AT, t.BACK_AT, t.ACTIVE_AT, t.BOUGHT_AT]].T
        eligible = self._label.eligible(left, back, active, bought, now)
        x = served(table.features(rows[eligible], now)) if eligible.any() else np.empty((0, len(FEATURES)), np.float32)
        scores = self._models.score(x)
        remembered, lines = self._ledger.remember(table, rows[eligible], x, scores, self._models, now)
        changed[eligible] |= remembered
        self._plan(table, rows, eligible, now)
        return Look(now, rows, changed, eligible, x, scores, examples, labels + lines)

    def left(self, table: Table, look: Look) -> Mask:
        """Which of the rows were in the cohort once, were told a score, and are out of the cohort now."""
        active, bought = table.core[look.rows][:, [t.ACTIVE_AT, t.BOUGHT_AT]].T
        return np.asarray(~look.eligible & self._label.known(active, bought) & (table.core[look.rows, t.REVISION] > 0))

    def _settle(
        self, table: Table, rows: Rows, changed: Mask, now: float, durable_until: float
    ) -> tuple[list[Example], list[LabelRecord]]:
        due = table.core[rows, t.PENDING_DUE] <= now
        changed |= due
        examples: list[Example] = []
        labels: list[LabelRecord] = []
        for row in rows[due].tolist():
            settled = self._ledger.settle(table, row, now, durable_until)
            examples += settled.examples
            labels += settled.labels
            if settled.held_from < math.inf:
                self._schedule.hold(row, settled.held_from)
        return examples, labels

    def _plan(self, table: Table, rows: Rows, eligible: Mask, now: float) -> None:
        # Rescoring happens on a common grid, so that all silent customers of a partition are scored in one matrix.
        next_look = (math.floor(now / self._every_s) + 1) * self._every_s
        core = table.core
        due = np.where(eligible, np.minimum(core[rows, t.PENDING_DUE], next_look), core[rows, t.PENDING_DUE])
        # What is due and was held back has its own way to be looked at again.
        due[due <= now] = next_look
        core[rows, t.DUE_AT] = due
        self._schedule.plan(due)
