"""The adaptive Hoeffding tree: against River's own, on a law that changes, and its state against the whole object."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from river.drift import NoDrift
from river.tree import HoeffdingAdaptiveTreeClassifier, hoeffding_tree
from river.tree.nodes.hatc_nodes import AdaNumBinaryBranchClass

from models.churn.candidates.hoeffding import MAX_ACTIVE_LEAVES, MAX_DEPTH, AdaptiveTree, Branch
from models.churn.candidates.tree import Tree
from models.features.base import Feature
from models.settings import TrainerSettings

FEATURES = tuple(Feature(name, "g", "u", "d") for name in "abcd")
Told = dict[int, float]


def stream(changes: bool, seed: int = 3) -> Iterator[tuple[Told, int]]:
    """Vectors of four columns, and labels by one column and another; which ones changes every 4,000 examples."""
    rng = random.Random(seed)
    number = 0
    while True:
        first = number // 4_000 % 4 if changes else 0
        x = {column: round(rng.random(), 3) for column in range(4)}
        label = (x[first] > 0.5) ^ (x[(first + 1) % 4] > 0.7)
        yield x, int(label ^ (rng.random() < 0.1))
        number += 1


def taught(count: int, *, changes: bool = True) -> AdaptiveTree:
    tree = AdaptiveTree()
    for x, label in islice(stream(changes), count):
        tree.learn_one(x, label)
    return tree


def with_grown_alternate() -> tuple[AdaptiveTree, Iterator[tuple[Told, int]]]:
    """A tree whose root has an alternate that has branches, and what comes next."""
    tree, coming = AdaptiveTree(), stream(True)
    for x, label in coming:
        tree.learn_one(x, label)
        if isinstance(getattr(tree.root, "_alternate_tree", None), Branch):
            return tree, coming
    raise AssertionError("the stream never ends")


def candidate(tree: AdaptiveTree) -> Tree:
    subject = Tree(FEATURES, "inactivity", TrainerSettings())
    subject._tree = tree
    return subject


def told_apart(node: Any) -> Any:
    """Splits, and the weights per label in them and in leaves."""
    if hasattr(node, "children"):
        return node.feature, node.threshold, list(node.stats.items()), list(map(told_apart, node.children))
    return list(node.stats.items())


def plain(thing: Any) -> Any:
    """Everything that is reachable from an object, in order; generators, which draw nothing, and methods left out."""
    if isinstance(thing, dict):
        return [(plain(key), plain(value)) for key, value in thing.items()]
    if isinstance(thing, list | tuple):
        return list(map(plain, thing))
    if isinstance(thing, set):
        return sorted(thing)
    if hasattr(thing, "__dict__"):
        kept = {k: v for k, v in vars(thing).items() if k not in ("rng", "_rng", "_test_drift", "beside")}
        return type(thing).__name__, sorted((key, plain(value)) for key, value in kept.items())
    return thing


def test_without_drift_it_is_rivers_tree_bit_for_bit() -> None:
    """Leaving naive Bayes and random numbers out changes no split, no threshold and no count."""
    ours = AdaptiveTree()
    ours.drift_detector = NoDrift()
    theirs = HoeffdingAdaptiveTreeClassifier(
        grace_period=ours.grace_period, delta=ours.delta, tau=ours.tau, max_depth=MAX_DEPTH, leaf_prediction="mc",
        bootstrap_sampling=False, drift_detector=NoDrift(), seed=1,
    )  # fmt: skip
    for x, label in islice(stream(False), 8_000):
        ours.learn_one(x, label)
        theirs.learn_one(x, label)

    assert theirs.n_leaves > 4
    assert told_apart(ours.root) == told_apart(theirs._root)


def test_it_says_what_river_says_but_for_the_usual_examples() -> None:
    """A leaf's rate is River's share of leavers with twenty examples more, of which 15 % left."""
    ours, (x, _) = taught(3_000, changes=False), next(stream(False))
    leaf = ours.root.traverse(x)[0]
    weight = sum(leaf.stats.values())
    share = AdaNumBinaryBranchClass.traverse(ours.root, x)[0].stats[1] / weight

    assert ours.predict_proba_one(x)[1] == pytest.approx((share * weight + 3.0) / (weight + 20.0), abs=1e-12)


def test_one_can_predict_while_an_alternate_has_branches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tree proper answers, and the form agrees; with River's `traverse` the same tree cannot answer."""
    tree, coming = with_grown_alternate()
    x, _ = next(coming)
    subject = candidate(tree)
    proper = subject.form()
    p = tree.predict_proba_one(x)[1]
    monkeypatch.setattr(Branch, "traverse", AdaNumBinaryBranchClass.traverse)

    assert p in [pytest.approx(rate) for rate in proper.rates]
    assert len(proper.children) == tree.root.n_nodes
    with pytest.raises(AttributeError, match="prediction"):
        tree.predict_proba_one(x)


def test_an_alternate_that_splits_does_not_take_over_by_that() -> None:
    """It grows beside the tree, and takes its place only by River's comparison of errors."""
    tree, coming = AdaptiveTree(), stream(True)
    grown = taken_over = 0
    for x, label in islice(coming, 24_000):
        root, alternate = tree.root, getattr(tree.root, "_alternate_tree", None)
        switched = tree.n_switch_alternate_trees
        tree.learn_one(x, label)
        grown += isinstance(alternate, Branch)
        if isinstance(root, Branch) and tree.root is not root:
            taken_over += 1
            assert tree.root is alternate
            assert tree.n_switch_alternate_trees == switched + 1

    assert grown > 0
    assert taken_over > 0


def test_with_rivers_branch_the_first_split_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault that `Branch.learn_one` puts right: there a new split, no alternate, becomes the root."""
    monkeypatch.setattr(Branch, "learn_one", AdaNumBinaryBranchClass.learn_one)
    tree = AdaptiveTree()
    strangers = 0
    for x, label in islice(stream(True), 24_000):
        root, alternate = tree.root, getattr(tree.root, "_alternate_tree", None)
        tree.learn_one(x, label)
        strangers += isinstance(root, Branch) and tree.root is not root and tree.root is not alternate

    assert strangers > 0


def test_it_follows_a_law_that_changed() -> None:
    """At the end of every stretch it is right again nearly as often as the noise allows."""
    tree = AdaptiveTree()
    right = [0] * 6
    for number, (x, label) in enumerate(islice(stream(True), 24_000)):
        if number % 4_000 >= 3_000:
            right[number // 4_000] += (tree.predict_proba_one(x)[1] > 0.5) == label
        tree.learn_one(x, label)

    assert min(right) > 700


def test_it_stays_small() -> None:
    """Paths, alternates and leaves that look for splits are bounded; a new alternate may look until the next split."""
    tree, most = AdaptiveTree(), 0
    for number, (x, label) in enumerate(islice(stream(True), 20_000)):
        tree.learn_one(x, label)
        if number % 50 or not isinstance(tree.root, Branch):
            continue
        alternates = [one._alternate_tree for one in tree.root.iter_branches() if one._alternate_tree is not None]
        nested = [one for alternate in alternates for one in alternate.iter_branches() if one._alternate_tree]
        active = sum(leaf.is_active() for leaf in tree._find_leaves())
        most = max(most, active)
        assert not nested
        assert active <= MAX_ACTIVE_LEAVES + len(alternates)
        assert max(one.height for one in (tree.root, *alternates)) <= MAX_DEPTH + 1

    assert most > MAX_ACTIVE_LEAVES // 2


@pytest.mark.parametrize("count", [0, 1, 900, 5_000])
def test_a_state_leaves_nothing_out(count: int) -> None:
    """What comes back is the same object down to every number, counters and detectors of River too."""
    tree = taught(count)
    restored = Tree(FEATURES, "inactivity", TrainerSettings())
    restored.load(json.loads(json.dumps(candidate(tree).state(), allow_nan=False)))

    assert plain(restored._tree) == plain(tree)


def test_an_alternate_goes_on_from_a_state() -> None:
    """Stored while an alternate grows, the tree learns on and takes over as the undisturbed one does."""
    tree, coming = with_grown_alternate()
    restored = Tree(FEATURES, "inactivity", TrainerSettings())
    restored.load(json.loads(json.dumps(candidate(tree).state(), allow_nan=False)))
    same = plain(restored._tree) == plain(tree)
    for x, label in islice(coming, 6_000):
        tree.learn_one(x, label)
        restored._tree.learn_one(x, label)

    assert same
    assert tree.n_switch_alternate_trees > 0
    assert plain(restored._tree) == plain(tree)


def leaf(**changes: Any) -> list[Any]:
    """The state of a leaf."""
    good = {"stats": [[0, 5.0]], "error": [5.0, 0.2], "detector": detector(), "attempt": 0.0, "splitters": []}
    return ["leaf", *(good | changes).values()]


def branch(**changes: Any) -> list[Any]:
    """The state of a branch."""
    good = {
        "feature": 0, "threshold": 0.5, "stats": [[0, 5.0]], "error": [5.0, 0.2], "detector": detector(),
        "alternate": False,
    }  # fmt: skip
    return ["branch", *(good | changes).values()]


def detector(mean: float = 0.2, lowest: float | None = None) -> list[Any]:
    return [[5.0, mean], 0.0, 0.0, lowest, -1.0, False]


def bells(**changes: Any) -> list[list[list[Any]]]:
    """What the splitters of a leaf know of the four columns."""
    good = {"label": 1, "lowest": 0.0, "highest": 1.0, "weight": 5.0, "mean": 0.5, "squares": 0.1} | changes
    return [[list(good.values())]] * 4


def state(*nodes: Any, counts: Any = (5.0, 1, 0, 0, 0, 0)) -> dict[str, Any]:
    return {"columns": 4, "counts": list(counts), "nodes": list(nodes)}


def test_the_states_of_these_tests_would_be_accepted() -> None:
    """What is refused below is refused for its fault alone."""
    good = state(branch(alternate=True), branch(), leaf(), leaf(), leaf(splitters=bells()), leaf(splitters=None))
    subject = Tree(FEATURES, "inactivity", TrainerSettings())
    subject.load(json.loads(json.dumps(good)))
    for x, label in islice(stream(True), 500):
        subject._tree.learn_one(x, label)

    assert subject._tree.root.n_leaves >= 2


DEEP: list[Any] = [node for _ in range(MAX_DEPTH + 1) for node in (branch(), leaf())] + [leaf()]
BOTTOMLESS: list[Any] = [branch()] * 50_000


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        (state(), "ends before its last leaf"),
        (state(branch(), leaf()), "ends before its last leaf"),
        (state(leaf(), leaf()), "belong to no branch"),
        (state(*BOTTOMLESS), f"split at depth {MAX_DEPTH}"),
        (state(*[branch(alternate=True)] * 50_000), "no alternates of alternates"),
        (state(*DEEP), f"split at depth {MAX_DEPTH}"),
        (state(branch(feature=4), leaf(), leaf()), "column below 4"),
        (state(branch(feature=-1), leaf(), leaf()), ">= 0"),
        (state(branch(threshold=math.nan), leaf(), leaf()), "not finite"),
        (state(branch(threshold=1e300), leaf(), leaf()), "beyond 1e100"),
        (state(leaf(detector=detector(lowest=math.inf))), "not finite"),
        (state(leaf(detector=detector(mean=2.0))), "<= 1.0"),
        (state(leaf(error=[5.0, -0.5])), ">= 0.0"),
        (state(leaf(stats=[[2, 5.0]])), "<= 1"),
        (state(leaf(stats=[[1, -5.0]])), ">= 0.0"),
        (state(leaf(stats=[[1, math.inf]])), "not finite"),
        (state(leaf(splitters=[[]])), "knows 1 columns"),
        (state(leaf(splitters=bells(squares=-1.0))), ">= 0.0"),
        (state(leaf(splitters=bells(mean=math.nan))), "not finite"),
        (state(leaf(), counts=(math.inf, 1, 0, 0, 0, 0)), "learned inf examples"),
        (state(["os.system", "true"]), "Invalid value"),
        (state({"py/object": "os.system"}), "Expected `array`"),
        (state(leaf()) | {"class": "os.system"}, "unknown field"),
    ],
)
def test_a_hostile_state_is_refused_in_words(hostile: dict[str, Any], message: str) -> None:
    """Paths without end, nodes without place, numbers that are none and names of classes: ValueError, nothing else."""
    with pytest.raises(ValueError, match=message):
        Tree(FEATURES, "inactivity", TrainerSettings()).load(hostile)


def test_bytes_of_objects_have_no_part_in_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    """River's estimate, which differs from process to process, is not taken, not even at a million examples."""

    def refuse(*_: Any) -> int:
        raise AssertionError("objects were measured")

    monkeypatch.setattr(hoeffding_tree, "calculate_object_size", refuse)
    tree = AdaptiveTree()
    tree._train_weight_seen_by_model = 999_995.0
    for x, label in islice(stream(True), 10):
        tree.learn_one(x, label)

    assert tree._train_weight_seen_by_model > 1_000_000.0
