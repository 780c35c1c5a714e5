"""Probabilities and log-odds, and the map that corrects a model's log-odds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.churn.record import CalibrationForm

#: Log-odds are kept inside this range, so that a probability is never exactly 0 or 1.
LOGIT_LIMIT = 30.0


def sigmoid(logit: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probability of log-odds, clipped to +-30."""
    return 1.0 / (1.0 + np.exp(-np.clip(logit, -LOGIT_LIMIT, LOGIT_LIMIT)))


def logit(probability: npt.NDArray[Any] | float) -> npt.NDArray[np.float64]:
    """Log-odds of a probability, clipped to +-30."""
    p = np.clip(np.asarray(probability, dtype=np.float64), 1e-13, 1.0 - 1e-13)
    return np.log(p / (1.0 - p))


def calibrate(form: CalibrationForm, logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The corrected log-odds; the same ones when the map is not in use."""
    return form.slope * logits + form.intercept if form.used else logits
