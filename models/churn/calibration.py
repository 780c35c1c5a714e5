"""Probabilities and log-odds, and the map that corrects a model's log-odds."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from statistics import fmean, stdev
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

#: Log-odds are kept inside this range, so that a probability is never exactly 0 or 1.
LOGIT_LIMIT = 30.0
_LARGEST = 1e100
_INTERCEPT_RATE = 0.001
_SLOPE_RATE = 0.0003
_MIN_SLOPE = 0.05
_KEEP = 1.0 - 1.0 / 2_000.0
# The error of a mean of so few blocks is itself uncertain, so two of it would not do.
_SURE, _LEAST_BLOCKS, _MOST_BLOCKS = 3.0, 4, 12
_DAY_S, _MOST_MAPS = 86_400.0, 400


class CalibrationForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Platt's map on the logit: slope * logit + intercept; the identity when not `used`."""

    slope: float = 1.0
    intercept: float = 0.0
    used: bool = False


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


def calibration_faults(form: CalibrationForm) -> Iterator[str]:
    """Every reason not to use the map."""
    if not (abs(form.slope) <= _LARGEST and abs(form.intercept) <= _LARGEST):
        yield "it holds a number that is not finite or beyond 1e100"
    if not form.slope > 0.0:
        yield f"slope {form.slope} would turn the order round (allowed: above 0)"


class PlattLearner(msgspec.Struct, forbid_unknown_fields=True):
    """Learns slope and intercept by SGD on log-odds that were computed before the example was learned.

    Whether the map is in use is decided by its `Gain`. It is used for the spread alone, around the usual log-odds
    (`centre`): the level is the model's, which follows its labels. A map is learned from predictions that are a horizon
    old; of a level that has moved since it would correct what the model has corrected already.
    """

    slope: float = 1.0
    intercept: float = 0.0
    used: bool = False
    centre: float = 0.0
    seen: int = 0

    def learn(self, raw: float, label: int) -> None:
        """Take one step with the log-odds `raw` and its label."""
        error = 1.0 / (1.0 + math.exp(-min(max(self.slope * raw + self.intercept, -LOGIT_LIMIT), LOGIT_LIMIT))) - label
        self.slope = max(self.slope - _SLOPE_RATE * error * min(max(raw, -LOGIT_LIMIT), LOGIT_LIMIT), _MIN_SLOPE)
        self.intercept -= _INTERCEPT_RATE * error
        self.seen += 1
        self.centre += (min(max(raw, -LOGIT_LIMIT), LOGIT_LIMIT) - self.centre) * max(1.0 / self.seen, 1.0 - _KEEP)

    def form(self) -> CalibrationForm:
        """What to publish: the spread around the centre corrected, the centre kept."""
        return CalibrationForm(slope=self.slope, intercept=(1.0 - self.slope) * self.centre, used=self.used)


class Gain(msgspec.Struct, forbid_unknown_fields=True):
    """By how much a map lowers the log loss, in blocks of one horizon, and how sure that is.

    Outcomes within a horizon are not independent: those of a customer overlap, and a season moves all customers alike.
    A map follows such moves a horizon late, and then helps for weeks and harms for weeks. So the blocks are the units.
    """

    blocks: list[float] = []
    begun: float | None = None
    total: float = 0.0
    count: int = 0

    def add(self, time: float, difference: float, horizon_s: float) -> None:
        """Count the loss without the map minus that with it, in nats, of an example known at `time` (epoch seconds)."""
        if self.begun is None or time >= self.begun + horizon_s:
            if self.count:
                self.blocks = [*self.blocks[-_MOST_BLOCKS + 1 :], self.total / self.count]
            self.begun, self.total, self.count = time, 0.0, 0
        self.total += difference
        self.count += 1

    def earned(self, *, used: bool) -> bool:
        """Whether to use the map: from four blocks and a gain of three standard errors on, until there is none."""
        if len(self.blocks) < _LEAST_BLOCKS:
            return False
        error = stdev(self.blocks) / math.sqrt(len(self.blocks))
        return fmean(self.blocks) > (0.0 if used else _SURE * error)


class PastMaps(msgspec.Struct, forbid_unknown_fields=True):
    """The map as it was, about once a day: (epoch seconds, slope, intercept), oldest first.

    A map is learned from predictions that are a horizon old, and corrects those of a model that has learned since. What
    it is worth shows only in what it would have done when a prediction was made: judged as it is when the label comes,
    it looks better than it ever was.
    """

    maps: list[tuple[float, float, float]] = []

    def keep(self, time: float, platt: PlattLearner) -> None:
        """Remember the map of now, if the last one is a day old."""
        if not self.maps or time - self.maps[-1][0] >= _DAY_S:
            form = platt.form()
            self.maps.append((time, form.slope, form.intercept))
            del self.maps[:-_MOST_MAPS]

    def at(self, time: float) -> tuple[float, float] | None:
        """Slope and intercept of the newest map that is not of after `time`; None if none is so old."""
        place = bisect_right(self.maps, time, key=lambda one: one[0])
        return self.maps[place - 1][1:] if place else None


class RecentLoss(msgspec.Struct, forbid_unknown_fields=True):
    """Mean log loss over about the last 2,000 examples, older ones fading out."""

    total: float = 0.0
    weight: float = 0.0

    def add(self, logit: float, label: int) -> None:
        """Count the loss of log-odds on one example."""
        margin = logit if label else -logit
        self.total = self.total * _KEEP + (math.log1p(math.exp(-margin)) if margin > -LOGIT_LIMIT else -margin)
        self.weight = self.weight * _KEEP + 1.0

    @property
    def mean(self) -> float:
        """Nats per example; 0 before the first."""
        return self.total / self.weight if self.weight else 0.0
