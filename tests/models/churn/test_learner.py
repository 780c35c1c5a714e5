"""The learner: deterministic, restorable to the bit, and careful with what it serves."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import numpy as np
import pytest

from models import evaluation
from models.churn.learner import Learner
from models.churn.record import InvalidModel
from models.features.base import Feature
from models.records import Example
from models.settings import LabelSettings, TrainerSettings
from tests.models.churn.samples import FEATURES, LABEL, TRAINER, VERSION, example, examples, labels, truth, vectors

EXAMPLES = examples(2400)


def learner(trainer: TrainerSettings = TRAINER) -> Learner:
    return Learner(FEATURES, VERSION, LABEL, trainer)


def taught(items: list[Example], subject: Learner | None = None) -> Learner:
    subject = subject or learner()
    for item in items:
        subject.learn(item)
    return subject


def restored(subject: Learner) -> Learner:
    return Learner.restore(json.loads(json.dumps(subject.checkpoint())), FEATURES, VERSION, LABEL, TRAINER)


@pytest.mark.parametrize("cut", [0, 1, 7, 16, 333, 1000])
def test_restored_and_continued_equals_undisturbed(cut: int) -> None:
    """A learner stored as JSON and restored at any point ends with the very same bytes and state."""
    undisturbed = taught(EXAMPLES)
    continued = taught(EXAMPLES[cut:], restored(taught(EXAMPLES[:cut])))

    assert continued.serving(5).to_record() == undisturbed.serving(5).to_record()
    assert continued.checkpoint() == undisturbed.checkpoint()


def test_asking_changes_nothing() -> None:
    """Publishing, metrics and checkpoints in between leave no trace in what is learned."""
    asked = learner()
    for i, item in enumerate(EXAMPLES[:500]):
        asked.learn(item)
        if i % 3 == 0:
            asked.serving(i)
            asked.metrics()
            asked.checkpoint()

    assert asked.serving(0).to_record() == taught(EXAMPLES[:500]).serving(0).to_record()


def test_a_checkpoint_is_not_changed_by_further_learning() -> None:
    """What was handed out is a copy."""
    subject = taught(EXAMPLES[:50])
    plain = subject.checkpoint()
    before = copy.deepcopy(plain)
    taught(EXAMPLES[50:90], subject)

    assert plain == before


def test_the_rule_is_served_until_there_are_enough_labels() -> None:
    """Below min_labels examples, or min_positives of either class, the rule is served."""
    few = taught(EXAMPLES[:199])
    one_class = taught([example(row, 0) for row in vectors(1500)])
    strict = taught(EXAMPLES, learner(TrainerSettings(min_positives=2000)))

    assert [subject.serving(0).champion for subject in (few, one_class, strict)] == ["rule"] * 3
    assert taught(EXAMPLES).serving(0).champion == "logistic"


def test_the_rule_is_served_where_it_is_better() -> None:
    """With labels that only the rule's bins can follow, the logistic regression is not served."""
    x = vectors(3000)
    silence = np.fmax(x[:, 0], x[:, 1])
    drawn = ((silence > 13) & (np.random.default_rng(2).random(3000) < 0.95)).astype(int)
    subject = taught([example(row, int(label)) for row, label in zip(x, drawn, strict=True)])

    assert subject.champion == "rule"


def test_the_learned_model_comes_close_to_the_best_possible() -> None:
    """On fresh customers of the known law the served log loss is within 0.01 of the true probabilities' own."""
    model = taught(examples(12_000)).serving(0)
    x = vectors(20_000, seed=1234)
    drawn = labels(x, seed=4321)
    scored = model.score(x)
    best = evaluation.log_loss(drawn, truth(x))

    assert model.champion == "logistic"
    assert evaluation.log_loss(drawn, scored.probability) < best + 0.01
    assert evaluation.log_loss(drawn, scored.rule) > best + 0.05
    assert evaluation.ece(drawn, scored.probability) < 0.03


def test_metrics_judge_what_was_emitted() -> None:
    """The progressive figures are those of the emitted probabilities in the examples, not of a new prediction."""
    subject = taught(EXAMPLES)
    emitted = np.array([item.probability for item in EXAMPLES])
    drawn = np.array([item.label for item in EXAMPLES])
    metrics = subject.metrics()

    assert metrics["count"] == len(EXAMPLES)
    assert metrics["positives"] == drawn.sum() == subject.positives
    assert metrics["auc_emitted"] == pytest.approx(evaluation.auc(drawn, emitted), abs=2e-3)
    assert metrics["log_loss_emitted"] == pytest.approx(evaluation.log_loss(drawn, emitted))
    assert metrics["log_loss_prior"] == pytest.approx(evaluation.log_loss(drawn, np.full(len(drawn), 0.15)))
    assert subject.serving(0).record.metrics == metrics


def test_an_example_of_other_features_is_refused_whole() -> None:
    """A wrong version or length raises, and nothing is learned from it."""
    subject = taught(EXAMPLES[:20])
    before = subject.checkpoint()
    for wrong in ({"feature_version": "other"}, {"features": (1.0,)}):
        with pytest.raises(ValueError, match="allowed: 7 of 'samples-1'"):
            subject.learn(msgspec.structs.replace(EXAMPLES[0], **wrong))

    assert subject.checkpoint() == before


def broken(path: str, value: Any) -> dict[str, Any]:
    plain = taught(EXAMPLES[:20]).checkpoint()
    *parents, last = path.split(".")
    node: Any = plain
    for name in parents:
        node = node[name]
    node[last] = value
    return plain


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("format", 1, "format '1'"),
        ("key", "cancellation-30d", "key 'cancellation-30d'"),
        ("feature_version", "samples-0", "feature_version 'samples-0'"),
        ("fingerprint", "0", "fingerprint '0'"),
        ("extra", 1, "unknown field"),
        ("examples", "many", "Expected `int`"),
        ("champion", "pickle", "Invalid enum value"),
        ("losses", {}, "losses"),
        ("metrics", {}, "metrics"),
        ("rule.rates", [0.5], "bins"),
        ("metrics.rule.positives", [1], "bins"),
        ("logistic.weights", [1.0], "columns"),
        ("logistic.intercept", float("nan"), "not finite"),
        ("logistic.average", [float("inf")] * 7, "not finite"),
    ],
)
def test_a_broken_checkpoint_is_refused(path: str, value: Any, message: str) -> None:
    """Another label, other features, wrong types and sizes or numbers that are none raise InvalidModel."""
    with pytest.raises(InvalidModel, match=message):
        Learner.restore(broken(path, value), FEATURES, VERSION, LABEL, TRAINER)


def test_a_checkpoint_of_another_label_or_other_features_is_refused() -> None:
    """The same numbers mean something else for another horizon or another vector."""
    plain = taught(EXAMPLES[:20]).checkpoint()
    others = (Feature("other", "g", "u", "d"), *FEATURES[1:])
    with pytest.raises(InvalidModel, match="key"):
        Learner.restore(plain, FEATURES, VERSION, LabelSettings(kind="inactivity", horizon_days=60), TRAINER)
    with pytest.raises(InvalidModel, match="fingerprint"):
        Learner.restore(plain, others, VERSION, LABEL, TRAINER)


def test_it_learns_without_any_silence_feature() -> None:
    """Where no silence is known the rule says the base rate, and learning works all the same."""
    bare = FEATURES[2:]
    subject = Learner(bare, VERSION, LABEL, TRAINER)
    for item in EXAMPLES:
        subject.learn(msgspec.structs.replace(item, features=item.features[2:]))
    model = subject.serving(0)
    scored = model.score(vectors(5)[:, 2:])

    assert scored.rule.tolist() == scored.prior.tolist()
    assert model.champion == "logistic"
