"""What moved over a backtest, and which columns move the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.backtest.result import FeatureDrift, Importance
from models.backtest.rows import Judged
from models.churn.serving import ServingModel
from models.drift import Sketch, learn_edges, shifts
from models.features.base import Feature
from models.settings import LabelSettings

_MOST_ROWS: Final = 5_000
PROBABILITY: Final = "probability"


def drift_of(found: Judged, features: Sequence[Feature]) -> list[FeatureDrift]:
    """Every column and the probability in the first half of the cut-offs against the last quarter, most moved first.

    Empty with fewer than four cut-offs.
    """
    times = [as_of for as_of, _ in found.models]
    if len(times) < 4:
        return []
    as_of = found.rows.as_of[found.featured]
    told = found.rows.probability[found.featured].astype(np.float32)
    matrix = np.column_stack([found.features, told])
    before, after = matrix[as_of < times[len(times) // 2]], matrix[as_of >= times[-(len(times) // 4)]]
    if not len(before) or not len(after):
        return []
    edges = learn_edges(before)
    sketches = Sketch(edges), Sketch(edges)
    for sketch, part in zip(sketches, (before, after), strict=True):
        sketch.update(part)
    names = [*(feature.name for feature in features), PROBABILITY]
    moved = [
        FeatureDrift(
            feature=name,
            psi=shift.psi,
            mean_before=shift.mean_before,
            mean_after=shift.mean,
            unknown_before=shift.null_rate_before,
            unknown_after=shift.null_rate,
        )
        for name, shift in zip(names, shifts(*sketches), strict=True)
    ]
    return sorted(moved, key=lambda one: -one.psi)


def importance_of(
    found: Judged, model: ServingModel, features: Sequence[Feature], label: LabelSettings
) -> list[Importance]:
    """The mean size of each column's contributions over the last cut-off, largest first, without those of 0."""
    last = found.rows.as_of[found.featured] == found.models[-1][0]
    rows = found.features[last][:_MOST_ROWS]
    if not len(rows):
        return []
    sizes = np.abs(model.contributions(rows)).mean(axis=0)
    told = [
        Importance(
            feature=feature.name,
            description=feature.description,
            mean_size=float(size),
            echoes_label=label.kind in getattr(feature, "echoes", ()),
        )
        for feature, size in zip(features, sizes, strict=True)
        if size > 0
    ]
    return sorted(told, key=lambda one: -one.mean_size)
