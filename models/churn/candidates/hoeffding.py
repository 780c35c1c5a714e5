"""River's adaptive Hoeffding tree with alternates that stay beside what they may replace, and its state as plain data.

River grows an alternate subtree beside a branch whose error rose, and swaps them once the alternate is surely better
(Bifet and Gavaldà [^1]). Two things are put right here, by overriding what River 0.26.1 does:

- An alternate is told the parent of the branch beside which it grows. When its first leaf splits, the split is put in
  that branch's place, untested: whatever was learned below is lost with the first split (on Complete Journey, measured
  as in `tree`, that costs .01 of log loss: .2604 for .2506). `Branch.learn_one` tells it of a `Seat` instead, and looks
  afterwards which of the two River meant.
- `AdaBranchClassifier.traverse` appends a list to the leaves when an alternate has grown branches, so that predicting
  fails. In River alone this never shows, only because of the first fault. Here `Branch.traverse` finds one leaf, that
  of the tree proper: as in the paper, an alternate says nothing before it has proved better. So a tree is one form.

The rest keeps the tree bounded and its state plain: nothing is drawn; changes of error are found by River's
Page-Hinkley test, because its ADWIN keeps windows in compiled code; alternates have none of their own; memory is
counted in active leaves, because bytes of Python objects differ from process to process; and no leaf is certain.

[^1]: Bifet, Gavaldà: Adaptive learning from evolving data streams. IDA 2009, LNCS 5772.
"""

from __future__ import annotations

from typing import Any, Final

from river.drift import PageHinkley
from river.proba import Gaussian
from river.stats import Var
from river.tree import HoeffdingAdaptiveTreeClassifier
from river.tree.base import Branch as AnyBranch
from river.tree.nodes.hatc_nodes import AdaLeafClassifier, AdaNumBinaryBranchClass
from river.tree.nodes.htc_nodes import LeafNaiveBayesAdaptive
from river.tree.nodes.leaf import HTLeaf
from river.tree.splitter import GaussianSplitter

from models.churn.forms.prior import INITIAL_PRIOR

MAX_DEPTH: Final = 5
#: Leaves that look for splits, of the tree and its alternates together; others only count labels. River sees to it at
#: every split, so the first leaf of a new alternate may come on top until then.
MAX_ACTIVE_LEAVES: Final = 16
#: Every leaf counts this many examples of the usual rate beside its own, so that none is certain.
_USUAL_EXAMPLES: Final = 20.0
_GRACE_EXAMPLES, _DELTA, _TAU, _DRIFT_WINDOW = 200, 1e-3, 0.07, 300
#: What Page-Hinkley forgives per example: half the rise of a branch's error that is worth finding.
_FORGIVEN: Final = 0.02
#: River estimates bytes after so many examples.
_NEVER: Final = 2**62
#: `Branch` or `Leaf`; River's nodes are not typed.
Node = Any


class Bell(Gaussian):
    """River's running normal distribution without a generator of random numbers, which takes 2.5 KB and draws none."""

    def __init__(self) -> None:
        self._var = Var(ddof=1)


class Splitter(GaussianSplitter):
    """River's, with the slim distribution."""

    def update(self, att_val: float, target_val: Any, w: float) -> None:
        """Meet one value of a column."""
        if target_val not in self._att_dist_per_class:
            self._att_dist_per_class[target_val] = Bell()
            self._min_per_class[target_val] = self._max_per_class[target_val] = att_val
        super().update(att_val, target_val, w)  # type: ignore[no-untyped-call]


class _Plain(LeafNaiveBayesAdaptive):
    """Leaves River's naive Bayes out, which no prediction here uses and which costs more than all the rest."""

    def learn_one(self, x: dict[int, float], y: int, *, w: float = 1.0, tree: Any = None) -> None:
        HTLeaf.learn_one(self, x, y, w=w, tree=tree)  # type: ignore[no-untyped-call]


class Leaf(AdaLeafClassifier, _Plain):
    """River's leaf, whose answer is the rate of its examples and a few of the usual rate."""

    @property
    def rate(self) -> float:
        """Probability of label 1."""
        stayed, left = float(self.stats.get(0, 0.0)), float(self.stats.get(1, 0.0))
        return (left + _USUAL_EXAMPLES * INITIAL_PRIOR) / (stayed + left + _USUAL_EXAMPLES)

    def prediction(self, x: dict[int, float], *, tree: Any = None) -> dict[int, float]:
        """The same for every vector."""
        del x, tree
        rate = self.rate
        return {0: 1.0 - rate, 1: rate}


class Seat:
    """What an alternate is told to be its parent: its first node may be replaced here, and nowhere else."""

    def __init__(self, node: Node) -> None:
        self.children = [node]


class Branch(AdaNumBinaryBranchClass):
    """River's branch, with the place of alternates put right; see the module."""

    #: Whether it is part of an alternate; `learn_one` says so anew each time, before it matters.
    beside = False
    _alternate_tree: Node

    def learn_one(
        self, x: Any, y: int, *, w: float = 1.0, tree: Any = None, parent: Any = None, parent_branch: Any = None
    ) -> None:
        seat = Seat(self)
        self.beside = isinstance(parent, Seat) or (parent is not None and parent.beside)
        super().learn_one(  # type: ignore[no-untyped-call]
            x, y, w=w, tree=tree, parent=seat, parent_branch=0
        )
        sits = seat.children[0]
        if sits is not self:
            self._give_way(sits, tree, parent, parent_branch)
        if self.beside:
            # Alternates of alternates could follow each other without end.
            self._alternate_tree = None

    def traverse(self, x: Any, until_leaf: bool = True) -> Any:
        """A list of one: the leaf of the tree proper."""
        return [AnyBranch.traverse(self, x, until_leaf)]

    def _give_way(self, sits: Node, tree: Any, parent: Any, parent_branch: Any) -> None:
        if self._alternate_tree is not None:  # it only grew its first branch; River forgets one that takes over
            self._alternate_tree = sits
        elif parent is None:
            tree._root = sits
        else:
            parent.children[parent_branch] = sits


class AdaptiveTree(HoeffdingAdaptiveTreeClassifier):
    """River's tree with the nodes of this module, for labels 0 and 1 and columns named by their place."""

    def __init__(self) -> None:
        super().__init__(
            grace_period=_GRACE_EXAMPLES,
            max_depth=MAX_DEPTH,
            delta=_DELTA,
            tau=_TAU,
            leaf_prediction="mc",
            splitter=Splitter(),
            bootstrap_sampling=False,
            drift_window_threshold=_DRIFT_WINDOW,
            drift_detector=PageHinkley(delta=_FORGIVEN),
            max_size=MAX_ACTIVE_LEAVES / 2**20,
            memory_estimate_period=_NEVER,
            seed=0,
        )
        # River counts memory in bytes per active leaf, and limits it in MiB: one byte per leaf makes both leaves.
        self._active_leaf_size_estimate = 1.0
        self.classes = {0, 1}
        self._root = self._new_leaf()
        self._n_active_leaves = 1

    @property
    def root(self) -> Node:
        """The first node of the tree proper."""
        return self._root

    def _new_leaf(self, initial_stats: Any = None, parent: Node = None) -> Leaf:
        stats = {} if initial_stats is None else initial_stats
        depth = 0 if parent is None else parent.depth + 1
        return new_leaf(self, stats, depth)

    def _branch_selector(self, numerical_feature: bool = True, multiway_split: bool = False) -> type[Branch]:
        del numerical_feature, multiway_split
        return Branch

    def _find_leaves(self) -> list[HTLeaf]:
        """All leaves; River passes over the root's own alternate."""
        leaves: list[HTLeaf] = super()._find_leaves()
        if isinstance(self.root, Branch) and self.root._alternate_tree is not None:
            leaves += self.root._alternate_tree.iter_leaves()
        return leaves


def new_leaf(tree: AdaptiveTree, stats: dict[int, float], depth: int) -> Leaf:
    """A leaf of a tree that has seen nothing yet but `stats`, the weight per label."""
    return Leaf(  # type: ignore[no-untyped-call]
        stats=stats, depth=depth, splitter=tree.splitter, drift_detector=tree.drift_detector.clone(), rng=tree._rng
    )
