"""What one step of a backtest said."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.features.layout import Array, Integers
from models.records import ModelRef


class Predictions(NamedTuple):
    """What one step said of every customer of the cohort for one horizon.

    `customers` are places in `Backtest.customers`, rising; `features` are the rows as served.
    """

    as_of: float
    horizon_days: float
    customers: Integers
    probability: Array
    rule: Array
    prior: Array
    model: ModelRef
    features: npt.NDArray[np.float32]
