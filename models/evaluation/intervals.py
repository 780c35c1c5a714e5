"""How sure a measure is: 95 % intervals that hold although the examples of a customer depend on each other.

A customer is scored every week and weekly horizons overlap, so a thousand examples may be two hundred customers. The
independent units are the customers: influences (`models.evaluation.influence`) are summed by customer, and the central
limit theorem is used on the sums (Liang and Zeger, 1986, Biometrika 73(1), without further weights). Nothing is drawn
at random, so the same rows always give the same interval.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from models.evaluation.influence import Linear
from models.evaluation.measures import Array, Floats

#: Standard errors on both sides of a 95 % interval.
Z95 = 1.959963984540054


class Interval(msgspec.Struct, frozen=True):
    """A value between the ends of its 95 % interval."""

    value: float
    low: float
    high: float


class Clusters:
    """Examples grouped by customer. `customers` holds one whole number per example, any numbers."""

    def __init__(self, customers: Array) -> None:
        found, self._group = np.unique(np.asarray(customers), return_inverse=True)
        self.count = len(found)

    def sums(self, values: Floats) -> Floats:
        """Per customer, in the order of their numbers."""
        return np.asarray(np.bincount(self._group, weights=values, minlength=self.count), dtype=np.float64)

    def standard_error(self, influence: Floats) -> float:
        """Of a measure with this influence per example; infinite with fewer than two customers."""
        if self.count < 2:
            return math.inf
        sums = self.sums(influence)
        return math.sqrt(float(np.square(sums).sum()) * self.count / (self.count - 1)) / len(influence)


def around(measure: Linear, clusters: Clusters, low: float = -math.inf, high: float = math.inf) -> Interval:
    """The interval of a measure that cannot lie below `low` or above `high`.

    Shares (between 0 and 1) are taken to log-odds and back, so that the interval stays inside and is wider towards the
    middle. At exactly 0 or 1, where examples show no variation, it is Wilson's.
    """
    value, error = float(measure.value), clusters.standard_error(measure.influence)
    if (low, high) != (0.0, 1.0):
        return Interval(value, max(low, value - Z95 * error), min(high, value + Z95 * error))
    if not 0.0 < value < 1.0 or not error:
        independent = measure.support * clusters.count / max(len(measure.influence), 1)
        return Interval(value, *wilson(value, max(independent, 1.0)))
    centre, spread = math.log(value / (1.0 - value)), Z95 * error / (value * (1.0 - value))
    return Interval(value, _expit(centre - spread), _expit(centre + spread))


def wilson(rate: float, count: float) -> tuple[float, float]:
    """95 % interval of a rate of `count` independent examples (Wilson, 1927, JASA 22(158))."""
    z = Z95 * Z95 / count
    centre, spread = rate + z / 2.0, Z95 * math.sqrt(max(rate * (1.0 - rate), 0.0) / count + z / (4.0 * count))
    low, high = (centre - spread) / (1.0 + z), (centre + spread) / (1.0 + z)
    return max(0.0, min(low, rate)), min(1.0, max(high, rate))


def every_row(count: int) -> npt.NDArray[np.intp]:
    """Customers for examples that are all independent."""
    return np.arange(count)


def _expit(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit)) if logit > -700.0 else 0.0
