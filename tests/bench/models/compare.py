"""Measures of predictors on the same rows, and their paired differences, customers as the independent units."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from models.evaluation import Clusters, Interval, around, ece
from models.evaluation.influence import Linear, of_auc, of_mean
from models.evaluation.measures import log_losses

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float64]


class Judged:
    """Mean AUC and log loss over cut-offs, and ECE over all their rows."""

    def __init__(self, label: npt.NDArray[np.int8], p: Floats, cutoff: npt.NDArray[np.int64]) -> None:
        parts = [np.flatnonzero(cutoff == one) for one in np.unique(cutoff)]
        self.auc = mean_of([(rows, of_auc(label[rows], p[rows])) for rows in parts], len(p))
        self.log_loss = mean_of([(rows, of_mean(log_losses(label[rows], p[rows]))) for rows in parts], len(p))
        self.ece = ece(label, p)


def mean_of(parts: list[tuple[npt.NDArray[np.intp], Linear]], rows: int) -> Linear:
    """The mean of a measure over parts of the rows, with each row's influence on it."""
    influence = np.zeros(rows)
    for where, one in parts:
        influence[where] = one.influence * (rows / len(where) / len(parts))
    return Linear(float(np.mean([one.value for _, one in parts])), influence, min(one.support for _, one in parts))


def differences(judged: Mapping[str, Judged], customers: Array, first: str) -> dict[str, tuple[Interval, Interval]]:
    """Of every other predictor: AUC and log loss of `first` minus its own, with 95 % intervals."""
    clusters, ours = Clusters(customers), judged[first]
    return {
        name: (
            around(ours.auc.minus(one.auc), clusters),
            around(ours.log_loss.minus(one.log_loss), clusters),
        )
        for name, one in judged.items()
        if name != first
    }  # fmt: skip


def told(interval: Interval, digits: int = 4) -> str:
    """A signed difference with the ends of its interval."""
    return f"{interval.value:+.{digits}f} ({interval.low:+.{digits}f} to {interval.high:+.{digits}f})"
