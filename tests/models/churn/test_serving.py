"""The serving form: equal to what River would say, row by row, and explained."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from models.churn.forms.prior import INITIAL_PRIOR
from models.churn.learner import Learner
from models.churn.record import InvalidModel
from models.churn.serving import ServingModel
from models.features.base import Feature
from tests.models.churn.samples import FEATURES, LABEL, TRAINER, VERSION, examples, vectors


def learned(count: int = 3000) -> ServingModel:
    hasty = msgspec.structs.replace(TRAINER, promotion_error=0.9, takeover_error=0.9, promotion_block=2)
    learner = Learner(FEATURES, VERSION, LABEL, hasty)
    for item in examples(count):
        learner.learn(item)
    return learner.serving(count - 1)


MODEL = learned()
INITIAL = ServingModel.initial(FEATURES, VERSION, LABEL)


def test_record_survives_the_way_through_bytes() -> None:
    """A model read from its own bytes gives the same bytes and the same scores."""
    copy = ServingModel.from_record(MODEL.to_record())
    x = vectors(50)

    assert copy.to_record() == MODEL.to_record()
    assert np.array_equal(copy.score(x).probability, MODEL.score(x).probability)


def test_the_learned_model_is_served_once_it_is_better() -> None:
    """After enough examples with more in them than silence, the logistic regression is what is served."""
    assert (INITIAL.champion, MODEL.champion) == ("rule", "logistic")
    assert MODEL.score(vectors(3)).model.name == "logistic"


def test_key_is_that_of_the_label_definition() -> None:
    """Scorers look for the model under the key that labels are named by."""
    assert INITIAL.key == "inactivity-30d"


@pytest.mark.parametrize("model", [INITIAL, MODEL], ids=["rule", "logistic"])
def test_scores_are_probabilities_even_for_absurd_vectors(model: ServingModel) -> None:
    """All unknown, zero, negative and the largest 32-bit floats score between 0 and 1, both excluded."""
    largest = np.finfo(np.float32).max
    x = np.array([[value] * len(FEATURES) for value in (np.nan, 0.0, -1.0, largest, -largest)], dtype=np.float32)
    scored = model.score(x)

    for probability in (scored.probability, scored.rule, scored.prior):
        assert ((probability > 0.0) & (probability < 1.0)).all()


@pytest.mark.parametrize("model", [INITIAL, MODEL], ids=["rule", "logistic"])
def test_a_row_scores_the_same_in_any_batch(model: ServingModel) -> None:
    """Scoring is bit for bit independent of the other rows in the chunk."""
    x = vectors(333)
    together = model.score(x).probability

    assert together.tolist() == [float(model.score(x[i : i + 1]).probability[0]) for i in range(len(x))]


def test_scoring_leaves_the_vector_alone() -> None:
    """Transforms work on a copy."""
    x = vectors(10)
    before = x.copy()
    MODEL.score(x)
    MODEL.reasons(x[0][np.newaxis], 5)[0]

    assert np.array_equal(before, x, equal_nan=True)


def test_an_empty_chunk_scores_nothing() -> None:
    """No rows in, no rows out."""
    assert len(MODEL.score(vectors(0)).probability) == 0


def test_a_matrix_of_other_width_is_refused() -> None:
    """The number of columns must be the model's."""
    with pytest.raises(ValueError, match="does not fit"):
        MODEL.score(vectors(3)[:, :2])


def test_reasons_add_up_to_the_log_odds() -> None:
    """With all columns asked for, the contributions are exactly the distance to the average customer's log-odds."""
    for row in vectors(20):
        p = MODEL.score(row[np.newaxis, :]).probability[0]
        total = sum(reason.contribution for reason in MODEL.reasons(row[np.newaxis], 100)[0])

        assert total + MODEL.base == pytest.approx(np.log(p / (1 - p)), abs=1e-9)


def test_reasons_come_risk_first_and_by_size() -> None:
    """What raises the risk comes first, larger before smaller, then what lowers it, larger before smaller."""
    for row in vectors(20):
        sizes = [reason.contribution for reason in MODEL.reasons(row[np.newaxis], 100)[0]]
        raising = [size for size in sizes if size > 0]

        assert sizes == sorted(raising, reverse=True) + sorted(size for size in sizes if size < 0)
        assert [reason.rank for reason in MODEL.reasons(row[np.newaxis], 3)[0]] == [1, 2, 3][: len(sizes)]


def test_unknown_values_are_no_reason() -> None:
    """A column that is not known, or never varies, never appears among the reasons."""
    row = vectors(1)[0]
    row[6] = np.nan

    assert {"constant", "rarely_known"}.isdisjoint(reason.feature for reason in MODEL.reasons(row[np.newaxis], 100)[0])


def test_the_rule_gives_the_silence_as_its_reason() -> None:
    """The rule names the longer of silence and usual gap, with its log-odds against the prior."""
    row = np.array([40.0, 10.0, 1.0, 0.0, 0.0, 1.0, np.nan], dtype=np.float32)
    scored = INITIAL.score(row[np.newaxis, :])
    [reason] = INITIAL.reasons(row[np.newaxis], 5)[0]
    logit = np.log(scored.rule / (1 - scored.rule)) - np.log(scored.prior / (1 - scored.prior))

    assert (reason.feature, reason.value, reason.rank) == ("days_since_order", 40.0, 1)
    assert reason.contribution == pytest.approx(float(logit[0]))


def test_the_rule_without_any_silence_says_the_prior() -> None:
    """A customer whose silence is not known gets the base rate and no reason."""
    row = np.full(len(FEATURES), np.nan, dtype=np.float32)

    assert INITIAL.score(row[np.newaxis, :]).probability[0] == INITIAL_PRIOR
    assert INITIAL.reasons(row[np.newaxis], 5)[0] == ()


def test_the_rule_never_falls_with_silence() -> None:
    """A longer silence never has a lower probability, before and after learning."""
    x = np.full((400, len(FEATURES)), np.nan, dtype=np.float32)
    x[:, 0] = np.linspace(0.0, 200.0, 400)
    for model in (INITIAL, MODEL):
        assert (np.diff(model.score(x).rule) >= 0.0).all()


def test_own_is_what_each_learned_form_says_before_calibration() -> None:
    """Rule and prior are no learned forms; the logistic regression's own probability is not the calibrated one."""
    x = vectors(40)
    form = msgspec.structs.replace(MODEL.record.calibrations["logistic"], slope=0.5, used=True)
    calibrated = ServingModel(msgspec.structs.replace(MODEL.record, calibrations={"logistic": form}))
    plain = ServingModel(msgspec.structs.replace(MODEL.record, calibrations={}))

    assert INITIAL.own(x) == {}
    assert calibrated.own(x).keys() == {"logistic"}
    assert calibrated.own(x)["logistic"].tolist() == plain.score(x).probability.tolist()
    assert calibrated.own(x)["logistic"].tolist() != calibrated.score(x).probability.tolist()


def test_the_horizon_may_be_another_than_the_labels() -> None:
    """One label definition has a model per horizon, each under its own key."""
    other = ServingModel.initial(FEATURES, VERSION, LABEL, 7.0)

    assert (other.key, other.horizon_days) == ("inactivity-7d", 7.0)


def test_typical_values_are_in_the_columns_own_units() -> None:
    """A customer with the typical value in every column is the average customer, whom no column moves."""
    typical = MODEL.record.typical
    row = np.array([typical], dtype=np.float64)

    assert typical[5] == 1.0
    assert MODEL.contributions(row)[0].tolist() == pytest.approx([0.0] * len(FEATURES), abs=1e-3)


def test_other_features_are_refused() -> None:
    """A model learned on other names, order, transforms or version must not score these vectors."""
    renamed = (Feature("other", "g", "u", "d"), *FEATURES[1:])
    MODEL.require(FEATURES, VERSION)
    for features, version in ((renamed, VERSION), (FEATURES[::-1], VERSION), (FEATURES, "samples-2")):
        with pytest.raises(InvalidModel, match="allowed here"):
            MODEL.require(features, version)
