"""The models in use, one per horizon, and what they say of a chunk of customers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.churn.serving import Scored, ServingModel
from models.labels import horizons_of
from models.settings import LabelSettings

Served = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]


class Scores(NamedTuple):
    """`first` is of the horizon that is told and acted on, `others` of the other horizons by days, same rows."""

    first: Scored
    others: dict[float, Scored]

    def of(self, number: int) -> Scored:
        """The scores of the horizon with this number."""
        return self.first if not number else list(self.others.values())[number - 1]


class Forecaster:
    """Models by horizon in days, the one that is served first."""

    def __init__(self, label: LabelSettings, first: ServingModel, others: dict[float, ServingModel]) -> None:
        """`others` must have a model of every other horizon of the label.

        Raises
        ------
        KeyError
            When one is missing.
        """
        first_days, *more = horizons_of(label)
        self.models = {first_days: first} | {days: others[days] for days in more}

    @property
    def first(self) -> ServingModel:
        """The model that is served."""
        return next(iter(self.models.values()))

    def use(self, model: ServingModel) -> bool:
        """Take a model for its horizon in place of the present one; True if the other kind of model serves now."""
        days = model.record.horizon_days
        before = self.models[days]
        self.models[days] = model
        return before.champion != model.champion

    def score(self, x: Served) -> Scores:
        """What every model says of the rows of `x` (rows x features).

        A longer horizon is never told a smaller probability than a shorter one: the others are drawn towards the one
        that is served, which stays as its model gave it.
        """
        days, model = next(iter(self.models.items()))
        first = model.score(x)
        scored = {other: self.models[other].score(x) for other in self.models if other != days}
        bound = first.probability
        for other in sorted((one for one in scored if one < days), reverse=True):
            bound = np.minimum(bound, scored[other].probability)
            scored[other] = scored[other]._replace(probability=bound)
        bound = first.probability
        for other in sorted(one for one in scored if one > days):
            bound = np.maximum(bound, scored[other].probability)
            scored[other] = scored[other]._replace(probability=bound)
        return Scores(first, scored)

    def own(self, x: Served) -> list[list[dict[str, float]]]:
        """By horizon, then by row: what each learned form says of it before calibration."""
        return [_by_row(model.own(x), len(x)) for model in self.models.values()]


def _by_row(said: dict[str, Vector], rows: int) -> list[dict[str, float]]:
    if not said:
        return [{}] * rows
    return [dict(zip(said, row, strict=True)) for row in zip(*(v.tolist() for v in said.values()), strict=True)]
