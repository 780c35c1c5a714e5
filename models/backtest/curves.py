"""The lines that a report draws of judged predictions, by predictor, as plain lists."""

from __future__ import annotations

import numpy as np

from models.backtest.result import Curves
from models.backtest.rows import RULE
from models.evaluation import (
    EMITTED,
    EvaluationRows,
    gain_curve,
    precision_recall_curve,
    profit_curve,
    roc_curve,
)
from models.settings import OfferSettings

#: Points of a line: more than a screen can show apart.
_POINTS = 120


def curves_of(rows: EvaluationRows, offer: OfferSettings) -> Curves:
    """Of labelled rows; lines are empty where a class is missing. Profit is money per customer and cut-off."""
    predictors = {EMITTED: rows.probability, RULE: rows.references[RULE]}
    curves = Curves(roc={}, precision_recall={}, gain={}, profit={})
    for name, column in predictors.items():
        roc = roc_curve(rows.label, column, _POINTS)
        curves.roc[name] = {"x": _plain(roc.false_positive_rate), "y": _plain(roc.true_positive_rate)}
        pr = precision_recall_curve(rows.label, column, _POINTS)
        curves.precision_recall[name] = {"x": _plain(pr.recall), "y": _plain(pr.precision)}
        gain = gain_curve(rows.label, column)
        curves.gain[name] = {"x": _plain(gain.share), "y": _plain(gain.gain), "lift": _plain(gain.lift)}
        profit = profit_curve(rows.label, column, offer, _POINTS)
        count = max(1, len(rows.label))
        curves.profit[name] = {"x": _plain(profit.contacted / count), "y": _plain(profit.profit / count)}
    return curves


def _plain(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]
