"""The logistic regression against River itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from river import base, compose, linear_model, optim, preprocessing

from models.churn.calibration import sigmoid
from models.churn.candidates.logistic import Logistic
from models.churn.forms.linear import LinearScorer
from models.churn.scaling import CLIP, Column, Means, Scaler, Transforms
from models.settings import TrainerSettings
from tests.models.churn.samples import FEATURES, labels, vectors

COLUMNS = tuple(Column(feature.name, feature.transform) for feature in FEATURES)
SETTINGS = TrainerSettings(learning_rate=0.01)


class Clip(base.Transformer):
    """Keeps standard scores inside the range that the learner uses."""

    def transform_one(self, x: dict[str, float]) -> dict[str, float]:
        return {name: min(max(value, -CLIP), CLIP) for name, value in x.items()}


def river_pipeline(settings: TrainerSettings) -> compose.Pipeline:
    """What the learner claims to be: scaling, clipping, logistic regression by SGD."""
    return compose.Pipeline(
        preprocessing.StandardScaler(),
        Clip(),
        linear_model.LogisticRegression(
            optim.SGD(settings.learning_rate),
            intercept_lr=4 * settings.learning_rate,
            intercept_init=math.log(0.15 / 0.85),
        ),
    )


def river_row(row: np.ndarray) -> dict[str, float]:
    """A transformed vector as River takes it: what is not known is absent."""
    found = {}
    for feature, value in zip(FEATURES, row.tolist(), strict=True):
        if not math.isnan(value):
            log = feature.transform == "log1p"
            found[feature.name] = math.copysign(math.log1p(abs(value)), value) if log else value
    return found


def both(count: int) -> tuple[Logistic, compose.Pipeline]:
    x = vectors(count)
    learner, pipeline = Logistic(FEATURES, "inactivity", SETTINGS), river_pipeline(SETTINGS)
    for row, label in zip(x, labels(x).tolist(), strict=True):
        learner.learn(row, label)
        pipeline.learn_one(river_row(row), bool(label))
    return learner, pipeline


@pytest.mark.parametrize("count", [16, 2000])
def test_the_serving_form_equals_rivers_probability(count: int) -> None:
    """Numpy on the published numbers and River's own pipeline on the same examples agree to 1e-9."""
    learner, pipeline = both(count)
    x = vectors(200, seed=99)
    served = sigmoid(LinearScorer(learner.present_form(), COLUMNS).logits(x))
    expected = [pipeline.predict_proba_one(river_row(row))[True] for row in x]

    assert served.tolist() == pytest.approx(expected, abs=1e-9)


def test_the_scaler_equals_the_batch_formulas() -> None:
    """Running means and deviations are those of all known values together."""
    x = Transforms(FEATURES).apply(vectors(500))
    scaler = Scaler(len(FEATURES))
    for first in range(0, 500, 50):
        scaler.learn(x[first : first + 50])

    means = Means(len(FEATURES))
    for row in x:
        means.learn(row)

    assert means.means.tolist() == pytest.approx(scaler.means.tolist(), abs=1e-12)
    assert means.counts.tolist() == scaler.counts.tolist()
    assert scaler.means.tolist() == pytest.approx(np.nanmean(x, axis=0).tolist(), abs=1e-12)
    assert scaler.deviations().tolist() == pytest.approx(np.nanstd(x, axis=0).tolist(), abs=1e-12)


def test_averaged_weights_are_the_weighted_mean_of_the_blocks() -> None:
    """The published weights equal the slow mean: block k of n weighs k, as the share 2 / (n + 1) of the newest says."""
    x = vectors(320)
    learner, blocks = Logistic(FEATURES, "inactivity", SETTINGS), []
    for i, (row, label) in enumerate(zip(x, labels(x).tolist(), strict=True), start=1):
        learner.learn(row, label)
        if i % 16 == 0:
            form = learner.present_form()
            blocks.append([*form.weights, form.intercept])
    expected = np.average(blocks, axis=0, weights=range(1, len(blocks) + 1))
    form = learner.form()

    assert [*form.weights, form.intercept] == pytest.approx(expected.tolist(), abs=1e-12)


def test_the_average_forgets() -> None:
    """After many blocks the newest one has a fixed share, so that the average follows drift."""
    learner = Logistic(FEATURES, "inactivity", SETTINGS)
    x = vectors(160)
    drawn = labels(x).tolist()
    for row, label in zip(x, drawn, strict=True):
        learner.learn(row, label)
    state = learner.state()
    learner.load({**state, "blocks": 100_000})
    for row, label in zip(x[:16], drawn[:16], strict=True):
        learner.learn(row, label)
    share = 16 / 10_000
    expected = (1 - share) * np.array(state["average"]) + share * np.array(learner.present_form().weights)

    assert list(learner.form().weights) == pytest.approx(expected.tolist(), abs=1e-12)


def test_an_absurd_value_cannot_throw_the_model_off() -> None:
    """The largest 32-bit floats, last in their block, move no weight by more than the step times the clip."""
    absurd, unknown = both(511)[0], both(511)[0]
    absurd.learn(np.full(len(FEATURES), np.finfo(np.float32).max, dtype=np.float32), 1)
    unknown.learn(np.full(len(FEATURES), np.nan, dtype=np.float32), 1)
    moved = np.array(absurd.present_form().weights) - np.array(unknown.present_form().weights)

    assert 0.0 < np.abs(moved).max() <= SETTINGS.learning_rate * CLIP


def test_a_column_of_one_value_scores_nothing() -> None:
    """Not by rounding either, in one block or in several, and wherever it is not known."""
    scaler = Scaler(3)
    x = np.tile([0.1, np.log1p(7.3), np.nan], (64, 1))
    x[::3, 0] = np.nan

    assert not any(scaler.learn(x).any() for _ in range(20))
    assert scaler.deviations().tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ["counts", "means", "squares", "weights", "average"])
def test_a_state_of_other_size_is_refused(name: str) -> None:
    """Every list must have one entry per column."""
    with pytest.raises(ValueError, match="for 7 columns"):
        Logistic(FEATURES, "inactivity", SETTINGS).load(
            {**Logistic(FEATURES, "inactivity", SETTINGS).state(), name: [0.0]}
        )
