"""Adaptive Hoeffding tree: one tree that splits when a split is surely worth it, and regrows where its errors rise.

River's tree learns (`hoeffding` says what is put right in it); its leaves answer with a rate, so it is published as one
tree. Measured on the second half of each stream, labels 30 days late, as log loss and area under the ROC curve of this
and of the logistic regression: simulator, 13,680 examples, .3088 and .2842, .683 and .742; Complete Journey (customers
with a basket in the last 30 days), 94,938 examples, .2506 and .2381, .822 and .854. Rates of splitting were chosen on
these streams, so the figures flatter the tree, and still it loses. An example costs it two to five times as much (0.15
to 0.2 ms). Its state took 33 to 54 KB there, its form about 1 KB, its objects half a megabyte.

So it is no default; it is here for laws that change by steps, and because 8 to 17 leaves can be read. Alternates are
started by errors of the likelier label, which hardly move where leavers are rare: none started on the simulator, 14 on
Complete Journey, of which one took over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from models.churn.candidates.base import CandidateSpec, Row
from models.churn.candidates.hoeffding import AdaptiveTree, Branch, Node
from models.churn.candidates.hoeffding_state import TreeState, restored, tree_state
from models.churn.forms.trees import TreesForm, tree_inputs
from models.churn.scaling import Transforms
from models.features.base import Feature
from models.settings import TrainerSettings


class Tree:
    """River's tree on transformed vectors, columns named by their place."""

    def __init__(self, features: Sequence[Feature], label_kind: str, settings: TrainerSettings, seed: int = 0) -> None:
        """Label kind, settings and seed have no part in it: nothing is drawn."""
        del label_kind, settings, seed
        self._columns = len(features)
        self._transforms = Transforms(features)
        self._tree = AdaptiveTree()

    def learn(self, x: Row, label: int) -> None:
        self._tree.learn_one(self._told(x), label)  # type: ignore[no-untyped-call]

    def logit(self, x: Row) -> float:
        """Of River's probability."""
        p: float = self._tree.predict_proba_one(self._told(x))[1]  # type: ignore[no-untyped-call]
        return math.log(p / (1.0 - p))

    def form(self) -> TreesForm:
        """The tree proper; alternates are not published before they take over."""
        features: list[int] = []
        thresholds: list[float] = []
        children: list[int] = []
        nodes: list[Node] = [self._tree.root]
        for node in nodes:  # grows while it is gone through, so the children of a node lie side by side behind it
            split = isinstance(node, Branch)
            features.append(node.feature if split else 0)
            thresholds.append(node.threshold if split else 0.0)
            children.append(len(nodes) if split else 0)
            nodes += node.children if split else ()
        return TreesForm((0,), tuple(features), tuple(thresholds), tuple(children), _rates(nodes, children))

    def state(self) -> dict[str, Any]:
        plain: dict[str, Any] = msgspec.to_builtins(tree_state(self._tree, self._columns))
        return plain

    def load(self, state: dict[str, Any]) -> None:
        self._tree = restored(msgspec.convert(state, TreeState), self._columns)

    def _told(self, x: Row) -> dict[int, float]:
        return dict(enumerate(tree_inputs(self._transforms, x).tolist()))


def _rates(nodes: Sequence[Node], children: Sequence[int]) -> tuple[float, ...]:
    """Rates of leaves; an inner node's is the mean over the examples that its leaves counted."""
    weights, rates = [0.0] * len(nodes), [0.0] * len(nodes)
    for at in reversed(range(len(nodes))):
        if first := children[at]:
            weights[at] = total = weights[first] + weights[first + 1]
            share = weights[first] / total if total else 0.5
            rates[at] = share * rates[first] + (1.0 - share) * rates[first + 1]
        else:
            weights[at], rates[at] = nodes[at].total_weight, nodes[at].rate
    return tuple(rates)


CANDIDATE = CandidateSpec("tree", "adaptive Hoeffding tree of up to 32 leaves", False, Tree)
