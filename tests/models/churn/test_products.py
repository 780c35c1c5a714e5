"""The logistic regression with products: against its formulas, against River's contract, and on a law with products."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from models.churn.candidates.logistic import Logistic
from models.churn.candidates.products import BLOCK_EXAMPLES, CROSSED, Products
from models.churn.forms.linear import LinearForm, LinearScorer, linear_faults, pair_columns, products
from models.churn.scaling import CLIP, Column, Transforms
from models.features import FEATURES as ALL
from models.settings import TrainerSettings

FEATURES = tuple(feature for feature in ALL if feature.name in CROSSED["inactivity"])
NAMES = [feature.name for feature in FEATURES]
COLUMNS = tuple(Column(feature.name, feature.transform) for feature in FEATURES)
SETTINGS = TrainerSettings(learning_rate=0.004, l2=0.001)
_MOST = 12_000
SILENCE, CADENCE = NAMES.index("days_since_order"), NAMES.index("order_cadence_days")


def world(count: int, seed: int = 3) -> tuple[npt.NDArray[np.float32], list[int]]:
    """The first vectors of a world with gaps, and labels by a product: silence tells only together with cadence."""
    rng = np.random.default_rng(seed)
    x = rng.exponential(20.0, (_MOST, len(FEATURES)))
    scores = np.log1p(x)
    scores = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    logit = -1.0 + 1.5 * scores[:, SILENCE] * scores[:, CADENCE]
    x[rng.random(x.shape) < 0.05] = np.nan
    drawn = (rng.random(_MOST) < 1.0 / (1.0 + np.exp(-logit))).astype(int)
    return x[:count].astype(np.float32), drawn[:count].tolist()


def taught(count: int, subject: Any = None) -> Any:
    subject = subject or Products(FEATURES, "inactivity", SETTINGS)
    for row, label in zip(*world(count), strict=True):
        subject.learn(row, label)
    return subject


def running_scores(seen: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Standard scores of the last row by the batch formulas over all rows up to it."""
    known = np.isfinite(seen).sum(axis=0) > 0
    deviations = np.where(known, np.nanstd(np.where(known, seen, 0.0), axis=0), 0.0)
    moved = seen[-1] - np.nanmean(np.where(known, seen, 0.0), axis=0)
    return np.clip(np.divide(moved, deviations, out=moved * 0.0, where=deviations > 0.0), -CLIP, CLIP)


def slowly(count: int) -> tuple[list[float], float]:
    """Averaged weights and intercept by plain loops over the blocks, scaled by the batch formulas."""
    x, drawn = world(count)
    pairs = Products(FEATURES, "inactivity", SETTINGS).form().pairs
    values = Transforms(FEATURES).apply(x)
    weights, intercept = [0.0] * (len(NAMES) + len(pairs)), math.log(0.15 / 0.85)
    average, average_intercept, rate = list(weights), intercept, 1.5 * SETTINGS.learning_rate
    for block in range(1, count // BLOCK_EXAMPLES + 1):
        steps, step = [SETTINGS.l2 * BLOCK_EXAMPLES * weight for weight in weights], 0.0
        for row in range((block - 1) * BLOCK_EXAMPLES, block * BLOCK_EXAMPLES):
            scores = running_scores(values[: row + 1])
            z = [0.0 if math.isnan(score) else score for score in scores.tolist()]
            inputs = z + [min(max(z[i] * z[j], -9.0), 9.0) / 2.0 for i, j in pairs]
            logit = sum(w * value for w, value in zip(weights, inputs, strict=True)) + intercept
            error = 1.0 / (1.0 + math.exp(-logit)) - drawn[row]
            steps, step = [s + error * value for s, value in zip(steps, inputs, strict=True)], step + error
        weights = [w - rate * s for w, s in zip(weights, steps, strict=True)]
        intercept -= 4.0 * rate * step
        share = max(2.0 / (block + 1), BLOCK_EXAMPLES / 10_000)
        average = [a + share * (w - a) for a, w in zip(average, weights, strict=True)]
        average_intercept += share * (intercept - average_intercept)
    return average, average_intercept


def test_a_block_is_one_step_with_the_summed_gradient() -> None:
    """Weights equal those of plain loops; examples of an open block have no part in them yet."""
    expected, intercept = slowly(6 * BLOCK_EXAMPLES)
    form = taught(6 * BLOCK_EXAMPLES + 17).form()
    found = [*form.weights, *(2.0 * weight for weight in form.pair_weights)]

    assert len(form.pairs) == 36
    assert found == pytest.approx(expected, abs=1e-12)
    assert form.intercept == pytest.approx(intercept, abs=1e-12)


def test_it_is_a_classifier_of_river() -> None:
    """Dicts by feature name teach the same as vectors, absent is not known, strange names are ignored; it clones."""
    x, drawn = world(300)
    told = [
        {name: value for name, value in zip(NAMES, row.tolist(), strict=True) if value == value} for row in x
    ]  # fmt: skip
    subject = Products(FEATURES, "inactivity", SETTINGS)
    for row, label in zip(told, drawn, strict=True):
        subject.learn_one({**row, "strange": 1.0}, bool(label))
    p = subject.predict_proba_one(told[0])

    assert subject.state() == taught(300).state()
    assert p[True] == pytest.approx(1.0 / (1.0 + math.exp(-subject.logit(x[0]))), abs=1e-12)
    assert sum(p.values()) == pytest.approx(1.0)
    assert subject.predict_one(told[0]) == (p[True] > 0.5)
    assert subject.clone().state() == Products(FEATURES, "inactivity", SETTINGS).state()


def test_it_learns_what_a_sum_of_columns_cannot_say() -> None:
    """Where only a product tells who leaves, it separates them and the plain regression does not."""
    asked, drawn = world(3000, seed=8)

    def gap(subject: Any) -> float:
        logits = LinearScorer(taught(12_000, subject).form(), COLUMNS).logits(asked)
        return float(logits[np.array(drawn) == 1].mean() - logits[np.array(drawn) == 0].mean())

    assert gap(Products(FEATURES, "inactivity", SETTINGS)) > 0.5
    assert abs(gap(Logistic(FEATURES, "inactivity", SETTINGS))) < 0.15


def test_a_product_belongs_half_and_half_to_its_columns() -> None:
    """A pair of a column with itself gives it both halves; what is not known takes its products with it."""
    form = LinearForm(
        weights=(0.0,) * 9, means=(0.0,) * 9, deviations=(1.0,) * 9, intercept=-1.0, clip=5.0,
        pairs=((0, 2), (2, 2), (0, 1)), pair_weights=(0.5, 0.25, 1.0), pair_clip=4.0,
    )  # fmt: skip
    scorer = LinearScorer(form, tuple(Column(f"c{i}", "identity") for i in range(9)))
    x = np.zeros((2, 9))
    x[0, :3] = 1.0, np.nan, 3.0
    x[1, :3] = 1.0, 2.0, -3.0

    assert scorer.contributions(x)[:, :3].tolist() == [[0.75, 0.0, 1.75], [0.25, 1.0, 0.25]]
    assert scorer.logits(x).tolist() == [1.5, 0.5]


def test_products_of_a_row_and_of_rows_are_the_same() -> None:
    """One vector gives what it gives among others, bit for bit, inside the clip."""
    z = np.random.default_rng(1).normal(size=(50, 9)) * 3.0
    pairs = pair_columns([(0, 1), (3, 3), (8, 2)])
    found = products(z, pairs, 9.0)

    assert [products(row, pairs, 9.0).tolist() for row in z] == found.tolist()
    assert np.abs(found).max() == 9.0


@pytest.mark.parametrize("kind", CROSSED)
def test_crossed_columns_exist(kind: str) -> None:
    """Every column that is declared for a label kind is a feature, once."""
    assert len(set(CROSSED[kind])) == len(CROSSED[kind])
    assert set(CROSSED[kind]) <= {feature.name for feature in ALL}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": [[0, 1]]}, "36 pairs of 'inactivity'"),
        ({"weights": [0.0]}, "45"),
        ({"pending": {"rows": [[1.0]], "labels": [1]}}, "9 columns"),
        ({"pending": {"rows": [[1.0] * 9], "labels": []}}, "1 rows and 0 labels"),
        ({"pending": {"rows": [[1.0] * 9], "labels": [2]}}, "1 rows and 1 labels"),
        ({"pending": {"rows": [[1.0] * 9] * 64, "labels": [1] * 64}}, "64 rows"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    """Other pairs, other sizes, a block that is full or lacks labels: told as what is allowed."""
    state = taught(70).state() | changes
    with pytest.raises(ValueError, match=message):
        Products(FEATURES, "inactivity", SETTINGS).load(state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": ((0, 9),)}, "not one of the 9"),
        ({"pairs": ((-1, 0),)}, "not one of the 9"),
        ({"pair_weights": (1.0, 2.0)}, "2 weights of 1 pairs"),
        ({"pair_weights": (1e200,)}, "weights of pairs hold"),
        ({"pair_clip": 0.0}, "pair_clip 0.0"),
        ({"pairs": ((0, 1),) * 10_001, "pair_weights": (1.0,) * 10_001}, "up to 10000"),
    ],
)
def test_each_fault_of_pairs_is_named(changes: dict[str, Any], message: str) -> None:
    """A published form with a fault in its products is refused with that fault in words."""
    given: dict[str, Any] = {"pairs": ((0, 1),), "pair_weights": (1.0,), "pair_clip": 9.0} | changes
    form = LinearForm((0.0,) * 9, (0.0,) * 9, (1.0,) * 9, -1.0, 5.0, **given)

    assert message in "; ".join(linear_faults(form, 9))


def test_a_form_without_products_is_published_as_it_was() -> None:
    """The fields of products are left out, so that models published before keep their hashes."""
    form = LinearForm((0.0,) * 9, (0.0,) * 9, (1.0,) * 9, -1.0, 5.0)

    assert {"type", "weights", "means", "deviations", "intercept", "clip"} == set(msgspec.to_builtins(form))
