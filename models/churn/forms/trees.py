"""Decision trees as arrays: one tree or a forest, whose answer is the mean probability of its leaves.

A chunk goes down all trees together, level by level, in a few numpy calls per level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from models.churn.calibration import logit
from models.churn.forms.base import Matrix, Vector, sane
from models.churn.scaling import Column, Transforms

MAX_TREES, MAX_NODES, MAX_DEPTH = 200, 100_000, 200
#: What trees meet in the place of a value that is not known: below all that features say.
UNKNOWN = -2.0
_DECIMALS = 3
_LARGEST_INPUT = 20.0
_Indices = npt.NDArray[np.intp]


class TreesForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="trees"):
    """Nodes of all trees, a node behind its parent, the two children of a node side by side.

    Node i is a leaf where `children[i]` is 0. Elsewhere a row goes on to node `children[i]` if its value of column
    `features[i]` is at most `thresholds[i]`, and to the node after that if not. Values are those of `tree_inputs`.
    `rates` are probabilities; that of an inner node is the mean over the examples that came by. `roots` are the
    trees' first nodes.
    """

    roots: tuple[int, ...]
    features: tuple[int, ...]
    thresholds: tuple[float, ...]
    children: tuple[int, ...]
    rates: tuple[float, ...]


def tree_inputs(transforms: Transforms, x: Matrix) -> Vector:
    """Rows, or one row, as trees meet them: transformed, within +-20, three decimals, `UNKNOWN` where not known.

    The limit keeps one absurd value from stretching the range in which random splits are drawn.
    """
    values = transforms.apply(x)
    np.copyto(values, UNKNOWN, where=np.isnan(values))
    np.clip(values, -_LARGEST_INPUT, _LARGEST_INPUT, out=values)
    return np.round(values, _DECIMALS, out=values)


class TreesScorer:
    """A `TreesForm` ready to be applied to matrices.

    A column's contribution is what its splits on the row's path changed in the rate, averaged over the trees, and
    scaled from probability to log-odds so that all together are exact: the path-wise explanation of Saabas [^1].

    [^1]: https://github.com/andosa/treeinterpreter
    """

    def __init__(self, form: TreesForm, columns: Sequence[Column]) -> None:
        self._transforms = Transforms(columns)
        self._roots = np.array(form.roots, dtype=np.intp)
        self._features, self._children = np.array(form.features, dtype=np.intp), np.array(form.children, dtype=np.intp)
        self._thresholds, self._rates = np.array(form.thresholds), np.array(form.rates)
        self._base_rate = float(self._rates[self._roots].mean())
        self.base = float(logit(self._base_rate))

    def logits(self, x: Matrix) -> Vector:
        """Log-odds of the mean rate of the leaves."""
        values = tree_inputs(self._transforms, x)
        at = self._start(len(x))
        for active, nodes in self._levels(values, at):
            at[active] = nodes
        return self._mean_logit(at, len(x))

    def contributions(self, x: Matrix) -> Vector:
        """Differences of rates along the paths, in log-odds."""
        rows, columns = x.shape
        values = tree_inputs(self._transforms, x)
        at, moved = self._start(rows), np.zeros(x.size)
        for active, nodes in self._levels(values, at):
            parents = at[active]
            cell = active // len(self._roots) * columns + self._features[parents]
            moved += np.bincount(cell, self._rates[nodes] - self._rates[parents], minlength=x.size)
            at[active] = nodes
        told_of = moved.reshape(rows, columns)
        change = told_of.sum(axis=1) / len(self._roots)
        gained = self._mean_logit(at, rows) - self.base
        slope = 1.0 / (self._base_rate * (1.0 - self._base_rate))
        some = np.abs(change) > 1e-12
        scale = np.where(some, gained / np.where(some, change, 1.0), slope) / len(self._roots)
        scaled: Vector = told_of * scale[:, np.newaxis]
        return scaled

    def _start(self, rows: int) -> _Indices:
        """The node of every row in every tree, row by row."""
        return np.tile(self._roots, rows)

    def _levels(self, values: Vector, at: _Indices) -> Iterator[tuple[_Indices, _Indices]]:
        """For each level the places that are not at a leaf yet, and the nodes that they go on to."""
        trees = len(self._roots)
        active = np.flatnonzero(self._children[at])
        while len(active):
            nodes = at[active]
            right = values[active // trees, self._features[nodes]] > self._thresholds[nodes]
            nodes = self._children[nodes] + right
            yield active, nodes
            active = active[self._children[nodes] > 0]

    def _mean_logit(self, leaves: _Indices, rows: int) -> Vector:
        mean = self._rates[leaves].reshape(rows, len(self._roots)).sum(axis=1) / len(self._roots)
        return logit(mean)


def trees_faults(form: TreesForm, columns: int) -> Iterator[str]:
    """Every reason not to use the form with so many columns."""
    nodes = len(form.children)
    sizes = {len(numbers) for numbers in (form.features, form.thresholds, form.children, form.rates)}
    if len(sizes) != 1 or not 1 <= nodes <= MAX_NODES or not 1 <= len(form.roots) <= MAX_TREES:
        yield (
            f"{nodes} nodes in lists of lengths {sorted(sizes)}, {len(form.roots)} trees "
            f"(allowed: equal lengths, 1 to {MAX_NODES} nodes, 1 to {MAX_TREES} trees)"
        )
        return
    if not all(0 <= root < nodes for root in form.roots):
        yield f"a root is not one of the {nodes} nodes"
    elif not all(0.0 < form.rates[root] < 1.0 for root in form.roots):
        yield "rates of roots are not probabilities (allowed: between 0 and 1, both excluded)"
    if not all(child == 0 or at < child < nodes - 1 for at, child in enumerate(form.children)):
        yield "a child does not lie behind its parent"
    elif (depth := _depth(form.children)) > MAX_DEPTH:
        yield f"a path of {depth} splits (allowed: up to {MAX_DEPTH})"
    if not all(0 <= feature < columns for feature in form.features):
        yield f"a split on a column that is not one of the {columns}"
    if not all(map(sane, form.thresholds)):
        yield "thresholds hold a number that is not finite or beyond 1e100"
    if not all(0.0 <= rate <= 1.0 for rate in form.rates):
        yield "rates are not probabilities (allowed: 0 to 1)"


def _depth(children: Sequence[int]) -> int:
    """The longest path in splits."""
    depths = [0] * len(children)
    for at, child in enumerate(children):
        if child:
            below = depths[at] + 1
            depths[child], depths[child + 1] = max(depths[child], below), max(depths[child + 1], below)
    return max(depths)
