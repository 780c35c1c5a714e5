"""What all forms share: the scorer's contract and the check of numbers from outside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.floating[Any]]
Vector = npt.NDArray[np.float64]

#: Numbers beyond this size are refused, so that no sum of products can overflow; deviations below its inverse are too.
LARGEST = 1e100


class Scorer(Protocol):
    """A form made ready for matrices. Pure: a row's result depends neither on its neighbours nor on earlier calls.

    `base` is the log-odds of the average customer. `x` holds raw served vectors (rows x columns, NaN where a value
    is not known) and is never changed.
    """

    base: float

    def logits(self, x: Matrix) -> Vector:
        """Log-odds of leaving per row."""
        ...

    def contributions(self, x: Matrix) -> Vector:
        """Log-odds that each column adds against the average customer (rows x columns).

        A row's contributions and `base` add up to its log-odds, but for rounding.
        """
        ...


def sane(number: float) -> bool:
    """Whether a number is finite and not beyond `LARGEST`."""
    return abs(number) <= LARGEST


def number_faults(lists: Iterable[tuple[str, tuple[float, ...]]], columns: int) -> Iterator[str]:
    """A fault for each named list that has not one sane number per column."""
    for name, numbers in lists:
        if len(numbers) != columns:
            yield f"{len(numbers)} {name} for {columns} columns"
        if not all(map(sane, numbers)):
            yield f"{name} hold a number that is not finite or beyond 1e100"
