"""Detectors on the examples in order of learning: did the rate of leavers, or the loss, change?

River's ADWIN keeps its windows in compiled code that cannot be exported as plain data (only pickled), so it cannot be
part of a checkpoint; it may serve offline. River's Page-Hinkley test is a few numbers; here they are as plain data, and
tests prove that both say the same.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

Mode = Literal["up", "down", "both"]

#: The smallest change worth finding, in standard deviations; half of it is what the test forgives (Page, 1954).
_WORTH = 0.3
_LEAST_EXAMPLES = 500
#: From here on the deviation is known well enough, and the threshold is set anew every so many examples.
_FIRST = 50
_EVERY = 50
_LEAST_DELTA = 1e-6
#: Values are kept within this many standard deviations, so that no single example is a change.
_REACH = 8.0


class PageHinkley(msgspec.Struct, forbid_unknown_fields=True):
    """The test of `river.drift.PageHinkley` (Page, 1954, Biometrika 41(1/2)), as plain data.

    `delta` is forgiven per value, `threshold` is what sums must exceed, `alpha` fades them, and before `least` values
    nothing is found. After a finding it starts anew with the next value.
    """

    least: int = 30
    delta: float = 0.005
    threshold: float = 50.0
    alpha: float = 0.9999
    mode: Mode = "both"
    count: int = 0
    mean: float = 0.0
    increase: float = 0.0
    decrease: float = 0.0
    lowest: float | None = None
    highest: float = -1.0
    found: bool = False

    def update(self, value: float) -> bool:
        """Take one value; whether a change was found with it."""
        if self.found:
            self.reset()
        self.count += 1
        self.mean += (1.0 / self.count) * (value - self.mean)
        apart = value - self.mean
        self.increase = self.alpha * self.increase + apart - self.delta
        self.decrease = self.alpha * self.decrease + apart + self.delta
        self.lowest = self.increase if self.lowest is None else min(self.lowest, self.increase)
        self.highest = max(self.highest, self.decrease)
        if self.count >= self.least:
            up = self.mode != "down" and self.increase - self.lowest > self.threshold
            self.found = up or (self.mode != "up" and self.highest - self.decrease > self.threshold)
        return self.found

    def reset(self) -> None:
        """Forget all values."""
        self.count, self.mean, self.increase, self.decrease = 0, 0.0, 0.0, 0.0
        self.lowest, self.highest, self.found = None, -1.0, False


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was found. `examples` were seen since the last one (or the start), `before` is their mean, and
    `after` the mean of the last `recent` of them, about those since it happened.
    """

    name: str
    examples: int
    recent: int
    before: float
    after: float

    @property
    def rose(self) -> bool:
        """Whether the values are higher now. A loss that fell is a model that learned: no alarm, but a new start."""
        return self.after > self.before


class ChangeDetector(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A Page-Hinkley test whose threshold comes from an alarm budget; plain data that can be stored.

    Watch losses with mode `both` and heed those changes that `rose`: a fall forgets the losses of a model that had yet
    to learn, beside which a later rise would look small.

    `alarms_per_month` are the false alarms that are expected at `examples_per_month` while nothing changes (set it anew
    when that figure changes). `overlap` is how many examples of one customer speak of the same time (horizon over
    snapshot interval): their labels are nearly one, so sums vary by that factor more.

    For sums that drift down by delta per example, the mean number of examples to a false alarm at threshold h is about
    (exp(r h) - r h - 1) / (r delta), where r > 0 solves E[exp(r (x - mean - delta))] = 1 (Siegmund, 1985, Sequential
    Analysis; r is 2 delta / variance for normal values, and less for losses with a long tail: here from the first
    three cumulants). With both sides watched, it is half of that.
    """

    name: str
    mode: Mode
    alarms_per_month: float
    examples_per_month: float
    overlap: float = 1.0
    test: PageHinkley = msgspec.field(default_factory=lambda: PageHinkley(least=_LEAST_EXAMPLES, alpha=1.0))
    squares: float = 0.0
    cubes: float = 0.0
    mark_up: tuple[int, float] = (0, 0.0)
    mark_down: tuple[int, float] = (0, 0.0)

    def update(self, value: float) -> Change | None:
        """Take the label or the loss of one example; the change that it makes certain, if any."""
        test = self.test
        if test.found:
            test.reset()
            self.squares = self.cubes = 0.0
            self.mark_up = self.mark_down = (0, 0.0)
        test.mode = self.mode
        if test.count >= _FIRST and test.count % _EVERY == 0:
            test.delta, test.threshold = self._limits()
        value, mean = self._kept(value), test.mean
        found = test.update(value)
        self._spread(value - mean, test.count)
        if test.increase == test.lowest:
            self.mark_up = (test.count, test.count * test.mean)
        if test.decrease == test.highest:
            self.mark_down = (test.count, test.count * test.mean)
        return self._change() if found else None

    @property
    def deviation(self) -> float:
        """Standard deviation of the values since the last change; 0 before the first."""
        return math.sqrt(self.squares / self.test.count) if self.test.count else 0.0

    def _kept(self, value: float) -> float:
        """The value, but no further from the mean than eight standard deviations, once these are known."""
        if self.test.count < _FIRST or not self.squares:
            return value
        reach = _REACH * self.deviation
        return min(max(value, self.test.mean - reach), self.test.mean + reach)

    def _spread(self, apart: float, count: int) -> None:
        """Sums of squares and cubes about the mean, with a value `apart` from the mean of those before it.

        Pebay (2008), Sandia report SAND2008-6212.
        """
        part = apart / count
        self.cubes += apart * part * part * (count - 1) * (count - 2) - 3.0 * part * self.squares
        self.squares += apart * part * (count - 1)

    def _limits(self) -> tuple[float, float]:
        """Delta and threshold for the values seen so far."""
        overlap, count = max(self.overlap, 1.0), self.test.count
        delta = max(_WORTH / 2.0 * self.deviation, _LEAST_DELTA)
        variance = max(self.squares / count, _LEAST_DELTA) * overlap
        third = {"up": self.cubes, "down": -self.cubes, "both": abs(self.cubes)}[self.mode] / count * overlap**2
        rate = 2.0 * delta / (variance / 2.0 + math.sqrt(variance**2 / 4.0 + 2.0 / 3.0 * max(third, 0.0) * delta))
        examples = self.examples_per_month / self.alarms_per_month * (2.0 if self.mode == "both" else 1.0)
        target, grown = rate * delta * examples, 1.0
        for _ in range(30):  # a fixed point that draws near by 1 / (1 + target + grown) with each step
            grown = math.log(1.0 + target + grown)
        return delta, grown / rate

    def _change(self) -> Change:
        test = self.test
        rose = test.lowest is not None and test.increase - test.lowest > test.threshold
        count, total = self.mark_up if rose else self.mark_down
        recent = test.count - count
        return Change(
            name=self.name,
            examples=test.count,
            recent=recent,
            before=total / count if count else test.mean,
            after=(test.count * test.mean - total) / recent,
        )
