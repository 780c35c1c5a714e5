"""Examples that wait until there are enough of them to be learned together, which costs numpy far less."""

from __future__ import annotations

import msgspec
import numpy as np

from models.churn.candidates.base import Row


class BlockState(msgspec.Struct, forbid_unknown_fields=True):
    """The examples of a block that is not full yet, as plain data; None where a value is not known."""

    rows: list[list[float | None]]
    labels: list[int]


class Block:
    """Rows of raw vectors and their labels. Blocks are counted in examples, in whatever portions these come."""

    def __init__(self, size: int, columns: int) -> None:
        self.rows, self.labels = np.zeros((size, columns)), np.zeros(size)
        self._size, self._held = size, 0

    def add(self, x: Row, label: int) -> bool:
        """Take an example; True when the block is full, which must be cleared then before the next one."""
        self.rows[self._held], self.labels[self._held] = x, label
        self._held += 1
        return self._held == self._size

    def clear(self) -> None:
        """Begin the next block."""
        self._held = 0

    def state(self) -> BlockState:
        """What is held."""
        rows = self.rows[: self._held].tolist()
        plain = [[None if value != value else value for value in row] for row in rows]
        return BlockState(plain, self.labels[: self._held].astype(int).tolist())

    def load(self, state: BlockState) -> None:
        """Hold what a state says.

        Raises
        ------
        ValueError
            When it is of other columns, of a full block, or rows and labels do not fit.
        """
        held, columns = len(state.rows), self.rows.shape[1]
        if held >= self._size or len(state.labels) != held or not {0, 1}.issuperset(state.labels):
            raise ValueError(f"{held} rows and {len(state.labels)} labels of an open block of {self._size}")
        if any(len(row) != columns for row in state.rows):
            raise ValueError(f"rows of a block have other sizes than {columns} columns")
        self._held = held
        if held:
            self.rows[:held], self.labels[:held] = np.array(state.rows, dtype=np.float64), state.labels
