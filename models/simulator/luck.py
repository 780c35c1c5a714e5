"""The random draws behind the dynamics: plain for the world that happens, spread with care for those that might.

A quiet customer leaves after something rare: a complaint that stays unresolved, the start of a slide. On 64 plain
futures such things fall once more or once less by chance, and that noise would hide the differences between quiet
customers. `EvenLuck` uses three remedies that leave every mean as it is:

- even uniforms: one random arrangement of equally spaced values over paths and steps, rotated by a random shift per
  customer (Cranley and Patterson, 1976), so that each customer gets nearly the same number of everything;
- opposite pairs of normals;
- importance sampling: the rare shares of a draw are made wider, and each path carries the weight that corrects for it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


_GOLDEN = 0.6180339887498949


class Luck(Protocol):
    """Draws for one step at a time; uniforms are in [0, 1)."""

    rng: np.random.Generator

    def billing(self, due: Ints) -> Floats:
        """One uniform for each of these columns."""

    def contacts(self, count: int) -> Floats:
        """One uniform per column, asked once per step."""

    def slides(self, count: int) -> Floats:
        """One uniform per column, asked once per step."""

    def normal(self, count: int) -> Floats:
        """One standard normal per column."""


class PlainLuck:
    """Independent draws."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def billing(self, due: Ints) -> Floats:
        return self.rng.random(due.size, dtype=np.float32)

    def contacts(self, count: int) -> Floats:
        return self.rng.random(count, dtype=np.float32)

    def slides(self, count: int) -> Floats:
        return self.rng.random(count, dtype=np.float32)

    def normal(self, count: int) -> Floats:
        return self.rng.standard_normal(count, dtype=np.float32)


class Boost:
    """Makes the share [low, high) of a uniform draw wider by a factor, and all else narrower."""

    def __init__(self, low: float, high: float, factor: float) -> None:
        share = high - low
        self._stretch = np.float32((1.0 - share) / (1.0 - share * factor))
        self._factor = np.float32(factor)
        self._low, self._begin = np.float32(low), np.float32(low / float(self._stretch))
        self._end = self._begin + np.float32(share * factor)

    def apply(self, draw: Floats, log_weight: Floats) -> Floats:
        """Turn plain uniforms into boosted ones, adding to the weight of each."""
        boosted = draw * self._stretch + (1 - self._stretch)
        log_weight += np.log(self._stretch)
        early = np.flatnonzero(draw < self._end)
        rare, position = draw[early] >= self._begin, draw[early]
        boosted[early] = np.where(rare, self._low + (position - self._begin) / self._factor, position * self._stretch)
        log_weight[early[rare]] -= np.log(self._stretch * self._factor)
        return boosted


class EvenLuck:
    """Draws for `customers` times `paths` columns, the paths of one customer side by side, over `steps` steps.

    `paths` must be even. `log_weight` is what each column counts, in logs, once all steps are done.
    """

    def __init__(
        self, customers: int, paths: int, steps: int, boosts: tuple[Boost, Boost], rng: np.random.Generator
    ) -> None:
        self.rng = rng
        self._customers, self._paths = customers, paths
        self._even = [self._spread(steps), self._spread(steps)]
        self._shifts = rng.random((2, customers, 1), dtype=np.float32)
        self._billing, self._billing_shifts = self._spread(1)[0], rng.random(customers, dtype=np.float32)
        self._boosts = boosts
        self._step = [0, 0]
        self.log_weight = np.zeros(customers * paths, np.float32)

    def _spread(self, steps: int) -> Floats:
        """The cells in an order such that any run of neighbouring values is spread evenly over the steps."""
        cells = steps * self._paths
        turn = (np.arange(cells) * _GOLDEN + self.rng.random()) % 1.0
        by_step = np.argsort(turn).reshape(steps, self._paths)
        return self.rng.permuted(by_step, axis=1).astype(np.float32) / np.float32(cells)

    def billing(self, due: Ints) -> Floats:
        customer, path = np.divmod(due, self._paths)
        return _rotated(self._billing[path], self._billing_shifts[customer])

    def contacts(self, count: int) -> Floats:
        return self._draw(0, count)

    def slides(self, count: int) -> Floats:
        return self._draw(1, count)

    def _draw(self, kind: int, count: int) -> Floats:
        base = self._even[kind][self._step[kind]]
        self._step[kind] += 1
        return self._boosts[kind].apply(_rotated(base, self._shifts[kind]).reshape(count), self.log_weight)

    def normal(self, count: int) -> Floats:
        half = self.rng.standard_normal((self._customers, self._paths // 2), dtype=np.float32)
        return np.concatenate([half, -half], axis=1).reshape(count)


def _rotated(base: Floats, shifts: Floats) -> Floats:
    rotated = base + shifts
    rotated -= rotated >= 1.0
    return rotated
