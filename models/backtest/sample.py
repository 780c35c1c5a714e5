"""What a backtest is judged by: the predictions of weekly cut-offs, bounded in memory.

Predictions of neighbouring days say nearly the same of the same customers, so a day a week loses little. When more rows
than the limit have come, half of the customers - chosen by number, the same ones at every cut-off - are dropped from
everything that was kept and will be. Feature rows are larger and kept of fewer customers.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from models.backtest.predictions import Predictions
from models.features.layout import DAY_S, NEVER, Array, Integers

WEEK_S: Final = 7 * DAY_S
MOST_ROWS: Final = 4_000_000
MOST_FEATURE_ROWS: Final = 200_000
#: An odd constant that spreads numbers over 32 bits (Knuth, The Art of Computer Programming, vol. 3, 6.4).
_SPREAD: Final = 2_654_435_761


class Cutoff(NamedTuple):
    """The predictions of one cut-off for the customers kept. `features` are of the first rows only, see `featured`."""

    as_of: float
    horizon_days: float
    customers: Integers
    probability: Array
    rule: Array
    prior: Array
    model: str
    featured: npt.NDArray[np.bool_]
    features: npt.NDArray[np.float32]


class Sample:
    """Takes all predictions in the order of their times; `cutoffs` has what was kept."""

    def __init__(
        self, begin: float = NEVER, seed: int = 0, rows: int = MOST_ROWS, feature_rows: int = MOST_FEATURE_ROWS
    ) -> None:
        """`begin` is the first cut-off's time in epoch seconds; `seed` chooses which customers are dropped first."""
        self._begin, self._seed = begin, seed
        self._most, self._most_features = rows, feature_rows
        self.cutoffs: list[Cutoff] = []
        self._last: dict[float, float] = {}
        #: The share of the customers that is kept, and of whom features are kept.
        self.share = self.feature_share = 1.0

    def add(self, one: Predictions) -> None:
        """Keep the predictions if a week has passed since those kept last."""
        if one.as_of < max(self._begin, self._last.get(one.horizon_days, NEVER) + WEEK_S):
            return
        self._last[one.horizon_days] = one.as_of
        cutoff = Cutoff(
            one.as_of, one.horizon_days, one.customers, one.probability, one.rule, one.prior, one.model.name,
            np.ones(len(one.customers), dtype=bool), one.features,
        )  # fmt: skip
        self.cutoffs.append(self._thin(cutoff))
        while sum(len(kept.customers) for kept in self.cutoffs) > self._most:
            self.share /= 2
            self.cutoffs = [self._thin(kept) for kept in self.cutoffs]
        while sum(len(kept.features) for kept in self.cutoffs) > self._most_features:
            self.feature_share /= 2
            self.cutoffs = [self._thin(kept) for kept in self.cutoffs]

    def _thin(self, one: Cutoff) -> Cutoff:
        place = ((one.customers + self._seed) * _SPREAD % 2**32) / 2**32
        chosen = place < self.share
        featured = place < min(self.share, self.feature_share)
        return one._replace(
            customers=one.customers[chosen], probability=one.probability[chosen], rule=one.rule[chosen],
            prior=one.prior[chosen], featured=featured[chosen], features=one.features[featured[one.featured]],
        )  # fmt: skip
