"""The judged predictions of a horizon as columns, with what became of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.backtest.sample import Cutoff
from models.backtest.truth import Codes, Truth
from models.evaluation import EvaluationRows
from models.features.layout import DAY_S

RULE, PRIOR = "rule", "prior"


class Judged(NamedTuple):
    """Rows of all cut-offs, one below the other. `features` belong to the rows that `featured` marks."""

    horizon_days: float
    rows: EvaluationRows
    outcomes: Codes
    featured: npt.NDArray[np.bool_]
    features: npt.NDArray[np.float32]
    models: list[tuple[float, str]]


def judged(cutoffs: list[Cutoff], truth: Truth, horizon_days: float, gap_days: float, known_until: float) -> Judged:
    """The rows of one horizon; `cutoffs` has at least one of it."""
    own = [one for one in cutoffs if one.horizon_days == horizon_days]
    as_of = np.concatenate([np.full(len(one.customers), one.as_of) for one in own])
    customers = np.concatenate([one.customers for one in own])
    outcomes = truth.outcomes(customers, as_of, horizon_days, known_until)
    labels = truth.labels(outcomes).astype(np.float64)
    labels[labels < 0] = np.nan
    rows = EvaluationRows(
        customer=customers,
        as_of=as_of,
        due_at=as_of + (gap_days + horizon_days) * DAY_S,
        label=labels,
        probability=np.concatenate([one.probability for one in own]),
        references={
            RULE: np.concatenate([one.rule for one in own]),
            PRIOR: np.concatenate([one.prior for one in own]),
        },
    )
    return Judged(
        horizon_days, rows, outcomes, np.concatenate([one.featured for one in own]),
        np.concatenate([one.features for one in own]), [(one.as_of, one.model) for one in own],
    )  # fmt: skip
