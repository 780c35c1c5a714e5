"""State of an `AdaptiveTree` as plain data: what nodes, splitters and detectors of River hold, field by field.

There is one struct per kind of thing, so a state names no classes and can build nothing else. What River derives or
never reads is left out: the depth of a node, weights of naive Bayes, generators of random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

import msgspec
from river.stats import Mean

from models.churn.candidates.hoeffding import MAX_DEPTH, AdaptiveTree, Bell, Branch, Node, Splitter, new_leaf
from models.churn.forms.base import sane

Count = Annotated[float, msgspec.Meta(ge=0.0)]
Label = Annotated[int, msgspec.Meta(ge=0, le=1)]
#: Weight and mean of a River `Mean` of errors, each 0 or 1.
MeanState = tuple[Count, Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]]
#: Weight per label, in the order in which the labels were met: ties go to the first.
LabelWeights = list[tuple[Label, Count]]


class DetectorState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A River `drift.PageHinkley`; `lowest` is None before the first value."""

    mean: MeanState
    increase: float
    decrease: float
    lowest: float | None
    highest: float
    found: bool


class BellState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What a splitter knows of one column and label: range, weight, mean and sum of squared distances."""

    label: Label
    lowest: float
    highest: float
    weight: Count
    mean: float
    squares: Count


class BranchState(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag="branch"):
    """A split. With `alternate` the nodes of its alternate follow, then those of its left and of its right side."""

    feature: Annotated[int, msgspec.Meta(ge=0)]
    threshold: float
    stats: LabelWeights
    error: MeanState
    detector: DetectorState
    alternate: bool


class LeafState(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag="leaf"):
    """A leaf. `splitters` has a list per column, or none before the first example; it is None in an inactive leaf."""

    stats: LabelWeights
    error: MeanState
    detector: DetectorState
    attempt: float
    splitters: list[list[BellState]] | None


class TreeState(msgspec.Struct, forbid_unknown_fields=True):
    """A tree as plain data. Nodes are listed parent first; `counts` are River's own, in the order of `_COUNTS`."""

    columns: int
    counts: tuple[Count, int, int, int, int, int]
    nodes: list[BranchState | LeafState]


_COUNTS: Final = (
    "_train_weight_seen_by_model", "_n_active_leaves", "_n_inactive_leaves",
    "_n_alternate_trees", "_n_pruned_alternate_trees", "_n_switch_alternate_trees",
)  # fmt: skip


def tree_state(tree: AdaptiveTree, columns: int) -> TreeState:
    """All of a tree; no part of it changes by further learning."""
    counts: Any = tuple(getattr(tree, name) for name in _COUNTS)
    return TreeState(columns, counts, list(map(_node_state, _nodes(tree.root))))


def restored(told: TreeState, columns: int) -> AdaptiveTree:
    """The tree of a state.

    Raises
    ------
    ValueError
        When it is of other columns, deeper than `MAX_DEPTH`, or holds nodes or numbers that no tree holds.
    """
    if told.columns != columns:
        raise ValueError(f"tree of {told.columns} columns (allowed: {columns} columns)")
    if not sane(told.counts[0]):
        raise ValueError(f"tree that learned {told.counts[0]} examples (allowed: a finite number)")
    tree = AdaptiveTree()
    for name, count in zip(_COUNTS, told.counts, strict=True):
        setattr(tree, name, count)
    tree._root = _Planting(tree, columns, told.nodes).all()
    return tree


class _Planting:
    """Turns a list of nodes into a tree."""

    def __init__(self, tree: AdaptiveTree, columns: int, nodes: Iterable[BranchState | LeafState]) -> None:
        self._tree, self._columns, self._left = tree, columns, iter(nodes)

    def all(self) -> Node:
        """The first node, with all others below it."""
        root = self._next(0, beside=False)
        if next(self._left, None) is not None:
            raise ValueError("tree has nodes that belong to no branch")
        return root

    def _next(self, depth: int, *, beside: bool) -> Node:
        """The subtree that the next node is the first of. Goes no deeper than a tree may be."""
        told = next(self._left, None)
        if told is None:
            raise ValueError("tree ends before its last leaf")
        if not all(map(sane, _numbers(told))):
            raise ValueError("tree has a number that is not finite or beyond 1e100")
        return self._leaf(told, depth) if isinstance(told, LeafState) else self._branch(told, depth, beside=beside)

    def _branch(self, told: BranchState, depth: int, *, beside: bool) -> Branch:
        if depth >= MAX_DEPTH or told.feature >= self._columns or (told.alternate and beside):
            raise ValueError(
                f"tree has a split at depth {depth} by column {told.feature}, alternate {told.alternate} "
                f"(allowed: depth below {MAX_DEPTH}, column below {self._columns}, no alternates of alternates)"
            )
        alternate = self._next(depth, beside=True) if told.alternate else None
        left = self._next(depth + 1, beside=beside)
        right = self._next(depth + 1, beside=beside)
        branch = Branch(  # type: ignore[no-untyped-call]
            dict(told.stats), told.feature, told.threshold, depth, left, right, drift_detector=self._detector(told)
        )
        branch._alternate_tree, branch._mean_error = alternate, _mean(told.error)
        return branch

    def _leaf(self, told: LeafState, depth: int) -> Node:
        if told.splitters is not None and len(told.splitters) not in (0, self._columns):
            raise ValueError(f"leaf that knows {len(told.splitters)} columns (allowed: none or {self._columns})")
        leaf: Any = new_leaf(self._tree, dict(told.stats), depth)
        leaf.drift_detector, leaf._mean_error = self._detector(told), _mean(told.error)
        leaf.last_split_attempt_at = told.attempt
        leaf.splitters = None if told.splitters is None else dict(enumerate(map(_splitter, told.splitters)))
        return leaf

    def _detector(self, told: BranchState | LeafState) -> Any:
        found = told.detector
        detector: Any = self._tree.drift_detector.clone()
        detector._x_mean = _mean(found.mean)
        detector._sum_increase, detector._sum_decrease = found.increase, found.decrease
        detector._min_increase = math.inf if found.lowest is None else found.lowest
        detector._max_decrease, detector._drift_detected = found.highest, found.found
        return detector


def _nodes(root: Node) -> Iterator[Node]:
    """All nodes: a branch, then its alternate, its left and its right side."""
    yield root
    if isinstance(root, Branch):
        if root._alternate_tree is not None:
            yield from _nodes(root._alternate_tree)
        for child in root.children:
            yield from _nodes(child)


def _node_state(node: Node) -> BranchState | LeafState:
    stats, error, detector = list(node.stats.items()), _mean_state(node._mean_error), _detector_state(node)
    if isinstance(node, Branch):
        return BranchState(node.feature, node.threshold, stats, error, detector, node._alternate_tree is not None)
    splitters = None if node.splitters is None else list(map(_bell_states, node.splitters.values()))
    return LeafState(stats, error, detector, node.last_split_attempt_at, splitters)


def _detector_state(node: Node) -> DetectorState:
    detector = node.drift_detector
    lowest: float = detector._min_increase
    return DetectorState(
        mean=_mean_state(detector._x_mean),
        increase=detector._sum_increase,
        decrease=detector._sum_decrease,
        lowest=None if lowest == math.inf else lowest,
        highest=detector._max_decrease,
        found=detector._drift_detected,
    )


def _bell_states(splitter: Any) -> list[BellState]:
    lowest, highest = splitter._min_per_class, splitter._max_per_class
    return [
        BellState(label, lowest[label], highest[label], bell._var.mean.n, bell._var.mean._mean, bell._var._S)
        for label, bell in splitter._att_dist_per_class.items()
    ]


def _splitter(told: list[BellState]) -> Splitter:
    splitter = Splitter()
    for found in told:
        bell = Bell()
        bell._var.mean, bell._var._S = Mean._from_state(found.weight, found.mean), found.squares
        splitter._att_dist_per_class[found.label] = bell
        splitter._min_per_class[found.label], splitter._max_per_class[found.label] = found.lowest, found.highest
    return splitter


def _mean_state(mean: Mean) -> MeanState:
    return mean.n, mean._mean


def _mean(told: MeanState) -> Mean:
    return Mean._from_state(*told)


def _numbers(node: BranchState | LeafState) -> Iterator[float]:
    """Every float of a node."""
    detector = node.detector
    yield from (*node.error, *detector.mean, detector.increase, detector.decrease, detector.highest)
    yield from (weight for _, weight in node.stats)
    yield 0.0 if detector.lowest is None else detector.lowest
    if isinstance(node, BranchState):
        yield node.threshold
        return
    yield node.attempt
    for bells in node.splitters or ():
        for bell in bells:
            yield from (bell.lowest, bell.highest, bell.weight, bell.mean, bell.squares)
