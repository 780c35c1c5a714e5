"""Aggregated Mondrian forest: trees that grow at random, weighted by what each subtree's past predictions were worth.

River's Mondrian trees [^1] learn. A tree stops growing at a number of nodes, which bounds memory and the published
form; its counts and weights go on. So that the forest can follow what changes, a further tree grows up beside it and
takes the place of the oldest every 2,000 examples. Every tree knows both labels from the start, so that no single
class is certain. Measured with River's own forest, which grows further (2,001 nodes a tree), against the logistic
regression: log loss .299 and .284 on the simulator, .301 and .294 on Complete Journey, at more than ten times the cost.
So it is no default; it is here for data with steps and interactions.

[^1]: Mourtada, Gaïffas, Scornet: AMF: Aggregated Mondrian forests for online learning. JRSS B 83 (2021).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from river.tree.mondrian import MondrianTreeClassifier
from river.tree.mondrian.mondrian_tree_nodes import MondrianBranchClassifier, MondrianLeafClassifier

from models.churn.candidates.base import CandidateSpec, Row
from models.churn.forms.trees import TreesForm, tree_inputs
from models.churn.scaling import Transforms
from models.features.base import Feature
from models.settings import TrainerSettings

_TREES, _MAX_NODES, _RENEW_EXAMPLES = 5, 401, 2_000
_STEP, _DIRICHLET = 1.0, 0.5
_CLASSES = 2
#: A River node: `MondrianBranchClassifier` or `MondrianLeafClassifier`, which are not typed.
Node = Any


#: What `random.Random.getstate` gives.
RandomState = tuple[int, tuple[int, ...], float | None]


class NodeState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A node as plain data; `feature` is -1 for a leaf. Nodes are listed parent first, left before right."""

    feature: int
    threshold: float
    time: float
    weight: float
    log_weight_tree: float
    samples: int
    counts: list[int]
    lowest: list[float]
    highest: list[float]


class TreeState(msgspec.Struct, forbid_unknown_fields=True):
    """A tree as plain data; `random` is the state of Python's generator."""

    iteration: int
    random: RandomState
    nodes: list[NodeState]


class ForestState(msgspec.Struct, forbid_unknown_fields=True):
    """A `Forest` as plain data; `random` is the state of the generator that seeds trees."""

    columns: int
    learned: int
    random: RandomState
    trees: list[TreeState]
    young: TreeState


class Forest:
    """Mondrian trees on transformed vectors, columns named by their place, oldest tree first."""

    def __init__(self, features: Sequence[Feature], label_kind: str, settings: TrainerSettings, seed: int) -> None:
        """Label kind and settings have no part in it."""
        del label_kind, settings
        self._columns = len(features)
        self._transforms = Transforms(features)
        self._random = random.Random(seed)
        self._learned = 0
        self._trees = [_tree(self._random.randrange(2**32)) for _ in range(_TREES)]
        self._young = _tree(self._random.randrange(2**32))

    def learn(self, x: Row, label: int) -> None:
        told = self._told(x)
        for tree in (*self._trees, self._young):
            tree.learn_one(told, label)
        self._learned += 1
        if self._learned % _RENEW_EXAMPLES == 0:
            self._trees = [*self._trees[1:], self._young]
            self._young = _tree(self._random.randrange(2**32))

    def logit(self, x: Row) -> float:
        """Of the mean of River's probabilities."""
        told = self._told(x)
        p = sum(tree.predict_proba_one(told)[1] for tree in self._trees) / _TREES
        return math.log(p / (1.0 - p))

    def form(self) -> TreesForm:
        """Each leaf's rate is the mixture over its path that River would compute."""
        arrays = _Arrays()
        for tree in self._trees:
            arrays.add(tree._root)
        return arrays.form()

    def state(self) -> dict[str, Any]:
        trees = list(map(_tree_state, self._trees))
        found = ForestState(self._columns, self._learned, self._random.getstate(), trees, _tree_state(self._young))
        plain: dict[str, Any] = msgspec.to_builtins(found)
        return plain

    def load(self, state: dict[str, Any]) -> None:
        found = msgspec.convert(state, ForestState)
        if found.columns != self._columns or len(found.trees) != _TREES:
            raise ValueError(
                f"forest of {len(found.trees)} trees and {found.columns} columns "
                f"(allowed: {_TREES} trees, {self._columns} columns)"
            )
        self._learned = found.learned
        self._random.setstate(found.random)
        self._trees = [self._restored(tree) for tree in found.trees]
        self._young = self._restored(found.young)

    def _restored(self, told: TreeState) -> Any:
        tree = _tree(0)
        tree.iteration, tree._n_nodes = told.iteration, len(told.nodes)
        tree._rng.setstate(told.random)
        nodes = iter(told.nodes)
        tree._root = self._planted(nodes, None, 0)
        if next(nodes, None) is not None:
            raise ValueError("forest has nodes that belong to no tree")
        return tree

    def _told(self, x: Row) -> dict[int, float]:
        return dict(enumerate(tree_inputs(self._transforms, x).tolist()))

    def _planted(self, nodes: Iterator[NodeState], parent: Node | None, depth: int) -> Node:
        """The subtree that the next of `nodes` is the root of."""
        told = next(nodes, None)
        if told is None or not self._fits(told):
            raise ValueError(f"forest has a node that is missing or not one of {self._columns} columns")
        if told.feature < 0:
            leaf: Node = MondrianLeafClassifier(parent, told.time, depth)  # type: ignore[no-untyped-call]
            _fill(leaf, told)
            return leaf
        branch: Node = MondrianBranchClassifier(  # type: ignore[no-untyped-call]
            parent, told.time, depth, told.feature, told.threshold
        )
        _fill(branch, told)
        left = self._planted(nodes, branch, depth + 1)
        branch.children = (left, self._planted(nodes, branch, depth + 1))
        return branch

    def _fits(self, node: NodeState) -> bool:
        sizes = {len(node.lowest), len(node.highest)}
        return -1 <= node.feature < self._columns and len(node.counts) <= _CLASSES and sizes in ({0}, {self._columns})


class _Arrays:
    """Collects trees into the lists of a `TreesForm`."""

    def __init__(self) -> None:
        self.roots: list[int] = []
        self.features: list[int] = []
        self.thresholds: list[float] = []
        self.children: list[int] = []
        self.rates: list[float] = []
        self.samples: list[int] = []

    def add(self, root: Node) -> None:
        """Add a tree, level by level, so that the two children of a node lie side by side."""
        first = len(self.children)
        self.roots.append(first)
        # A node with what its ancestors' shares make of its own prediction: final = told + left * own.
        level: list[tuple[Node, float, float]] = [(root, 0.0, 1.0)]
        last = first
        while level:
            below: list[tuple[Node, float, float]] = []
            for node, told, left in level:
                own = node.predict(_DIRICHLET, _CLASSES)[1]
                self.samples.append(node.n_samples)
                if isinstance(node, MondrianLeafClassifier):
                    self._append(0, 0.0, 0, told + left * own)
                    continue
                share = 0.5 * math.exp(node.weight - node.log_weight_tree)
                self._append(node.feature, node.threshold, last + 1, 0.0)
                last += 2
                below += [(child, told + left * share * own, left * (1.0 - share)) for child in node.children]
            level = below
        self._average(first)

    def form(self) -> TreesForm:
        return TreesForm(
            roots=tuple(self.roots),
            features=tuple(self.features),
            thresholds=tuple(self.thresholds),
            children=tuple(self.children),
            rates=tuple(self.rates),
        )

    def _append(self, feature: int, threshold: float, children: int, rate: float) -> None:
        self.features.append(feature)
        self.thresholds.append(threshold)
        self.children.append(children)
        self.rates.append(rate)

    def _average(self, first: int) -> None:
        """Give inner nodes the mean rate of the examples below them."""
        for at in range(len(self.children) - 1, first - 1, -1):
            if child := self.children[at]:
                weights = self.samples[child], self.samples[child + 1]
                total = sum(weights)
                share = weights[0] / total if total else 0.5
                self.rates[at] = share * self.rates[child] + (1.0 - share) * self.rates[child + 1]


def _tree(seed: int) -> Any:
    # Leaves of one label split too: where leavers are rare a tree would otherwise wait for them, and vectors without
    # sense among the first examples could leave it a single leaf whose range holds everything that comes.
    tree = MondrianTreeClassifier(step=_STEP, dirichlet=_DIRICHLET, max_nodes=_MAX_NODES, split_pure=True, seed=seed)
    # River meets classes one by one; the tests of the serving form would notice a change of these fields.
    tree._classes, tree._idx_to_class, tree._class_to_idx = {0, 1}, [0, 1], {0: 0, 1: 1}
    return tree


def _tree_state(tree: Any) -> TreeState:
    return TreeState(tree.iteration, tree._rng.getstate(), list(map(_node_state, _nodes(tree._root))))


def _nodes(root: Node) -> Iterator[Node]:
    """All nodes, a parent first, then its left side."""
    open_ = [root]
    while open_:
        node = open_.pop()
        yield node
        if isinstance(node, MondrianBranchClassifier):
            open_ += reversed(node.children)


def _node_state(node: Node) -> NodeState:
    branch = isinstance(node, MondrianBranchClassifier)
    return NodeState(
        feature=node.feature if branch else -1,
        threshold=node.threshold if branch else 0.0,
        time=node.time,
        weight=node.weight,
        log_weight_tree=node.log_weight_tree,
        samples=node.n_samples,
        counts=list(node.counts),
        lowest=list(node.memory_range_min.values()),
        highest=list(node.memory_range_max.values()),
    )


def _fill(node: Node, told: NodeState) -> None:
    node.weight, node.log_weight_tree = told.weight, told.log_weight_tree
    node.n_samples, node.counts = told.samples, told.counts
    node.memory_range_min, node.memory_range_max = dict(enumerate(told.lowest)), dict(enumerate(told.highest))


CANDIDATE = CandidateSpec("forest", "aggregated Mondrian forest of five trees", False, Forest)
