"""The learner: deterministic, restorable to the bit, and careful with what it serves."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import numpy as np
import pytest

from models import evaluation
from models.churn.calibration import CalibrationForm
from models.churn.learner import Learner
from models.churn.record import InvalidModel
from models.churn.serving import ServingModel
from models.features.base import Feature
from models.records import Example
from models.settings import LabelSettings, TrainerSettings
from tests.models.churn.samples import FEATURES, LABEL, VERSION, example, examples, labels, truth, vectors

EXAMPLES = examples(2400)
#: A league that promotes hastily, so that few examples do.
TRAINER = TrainerSettings(candidates=("logistic",), promotion_error=0.4, takeover_error=0.4, promotion_block=2)


def learner(trainer: TrainerSettings = TRAINER) -> Learner:
    return Learner(FEATURES, VERSION, LABEL, trainer)


def taught(items: list[Example], subject: Learner | None = None) -> Learner:
    subject = subject or learner()
    for item in items:
        subject.learn(item)
    return subject


def lived(items: list[Example], subject: Learner | None = None, every: int = 100) -> Learner:
    """A learner as in operation: its model is published now and then, and what that says of an example is recorded."""
    subject = subject or learner()
    model = subject.serving(0)
    for start in range(0, len(items), every):
        batch, newest = items[start : start + every], subject.serving(0)
        for item in recorded(batch, model):
            subject.learn(item)
        model = newest
    return subject


def recorded(items: list[Example], model: ServingModel) -> list[Example]:
    """Examples with what a published model said of them."""
    x = np.array([item.features for item in items], dtype=np.float32)
    scored, own = model.score(x), model.own(x)
    return [
        msgspec.structs.replace(
            item,
            probability=float(scored.probability[i]),
            rule_probability=float(scored.rule[i]),
            prior_probability=float(scored.prior[i]),
            own={name: float(said[i]) for name, said in own.items()},
            model=scored.model,
        )
        for i, item in enumerate(items)
    ]


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
    strict = taught(EXAMPLES, learner(msgspec.structs.replace(TRAINER, min_positives=2000)))

    assert [subject.serving(0).champion for subject in (few, one_class, strict)] == ["rule"] * 3
    assert taught(examples(6000)).serving(0).champion == "logistic"


def test_the_rule_is_served_where_it_is_better() -> None:
    """With labels that only the rule's bins can follow, the logistic regression is not served."""
    x = vectors(3000)
    silence = np.fmax(x[:, 0], x[:, 1])
    drawn = ((silence > 13) & (np.random.default_rng(2).random(3000) < 0.95)).astype(int)
    subject = taught([example(row, int(label)) for row, label in zip(x, drawn, strict=True)])

    assert subject.champion == "rule"


def test_the_learned_model_comes_close_to_the_best_possible() -> None:
    """On fresh customers of the known law the served log loss is within 0.01 of the true probabilities' own."""
    model = lived(examples(12_000)).serving(0)
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
        ("contest.league.champion", "pickle", "league"),
        ("contest.league.tests", {}, "league"),
        ("contest.contenders", {}, "league"),
        ("counts", [1.0], "columns"),
        ("metrics", {}, "metrics"),
        ("rule.rates", [0.5], "bins"),
        ("metrics.rule.positives", [1], "bins"),
        ("contest.contenders.logistic.metrics.sums", [1.0], "bins"),
        ("contest.contenders.logistic.candidate.weights", [1.0], "columns"),
        ("contest.contenders.logistic.candidate.intercept", float("nan"), "not finite"),
        ("contest.contenders.logistic.candidate.average", [float("inf")] * 7, "not finite"),
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
    for item in examples(6000):
        subject.learn(msgspec.structs.replace(item, features=item.features[2:]))
    model = subject.serving(0)
    scored = model.score(vectors(5)[:, 2:])

    assert scored.rule.tolist() == scored.prior.tolist()
    assert model.champion == "logistic"


def shuffled(items: list[Example], seed: int = 5) -> list[Example]:
    """The same examples with labels that have nothing to do with them."""
    drawn = np.random.default_rng(seed).permutation([item.label for item in items]).tolist()
    return [msgspec.structs.replace(item, label=label) for item, label in zip(items, drawn, strict=True)]


@pytest.mark.parametrize("seed", range(4))
def test_where_there_is_nothing_to_learn_the_rule_stays_in_charge(seed: int) -> None:
    """With shuffled labels no candidate is promoted, recorded predictions or not, and their AUC is that of chance."""
    settings = TrainerSettings(candidates=("products", "logistic"))
    items = shuffled(examples(5000, seed=20 + seed), seed)
    for subject in (taught(items, learner(settings)), lived(items, learner(settings))):
        assert subject.champion == "rule"
        assert subject.metrics()["auc_logistic"] == pytest.approx(0.5, abs=0.03)
        assert subject.metrics()["auc_products"] == pytest.approx(0.5, abs=0.03)


def test_a_better_model_is_promoted_by_the_settings_own_defaults() -> None:
    """Better by .06 nats than the rule it is served within 6,000 examples, and the record says why."""
    subject = lived(examples(6000), learner(TrainerSettings(candidates=("logistic",))))
    [first, second] = subject.standings()

    assert (first.name, first.alias, second.name) == ("logistic", "champion", "rule")
    assert first.recent_log_loss is not None
    assert second.recent_log_loss is not None
    assert first.recent_log_loss < second.recent_log_loss - 0.03
    assert "below rule and prior" in subject.serving(0).record.move


def test_a_champion_that_rots_steps_back_to_the_rule() -> None:
    """When the law turns round and only the rule can follow it, the rule is served again."""
    subject = lived(examples(6000))
    served = subject.champion
    for item in examples(8000, seed=99):
        # What was recorded is that of a model which got everything the wrong way round.
        wrong = {"logistic": 0.9 if item.label == 0 else 0.1}
        subject.learn(msgspec.structs.replace(item, own=wrong))
        if subject.champion == "rule":
            break

    assert (served, subject.champion) == ("logistic", "rule")
    assert "below logistic," in subject.serving(0).record.move


def test_the_calibration_learns_only_from_recorded_predictions() -> None:
    """Without records it stays the identity; with records of a model that is twice too sure it comes into use."""
    late = taught(EXAMPLES)
    x = vectors(4000)
    sure = 1.0 / (1.0 + (1.0 / truth(x) - 1.0) ** 2)
    items = [msgspec.structs.replace(item, own={"logistic": float(sure[i])}) for i, item in enumerate(examples(4000))]
    found = taught(items).serving(0).record.calibrations["logistic"]

    assert late.serving(0).record.calibrations["logistic"] == CalibrationForm()
    assert found.used
    assert found.slope < 0.9


def test_what_a_pinned_version_says_does_not_judge_the_present_models() -> None:
    """Records of a version that served again count as if there were none."""
    trusting, careful = learner(), learner()
    careful.contest.distrust("v")
    items = [msgspec.structs.replace(item, own={"logistic": 0.99}) for item in EXAMPLES[:300]]
    taught(items, trusting)
    taught(items, careful)

    assert [subject.standings()[-1].recorded for subject in (trusting, careful)] == [300, 0]


def test_a_fresh_challenger_knows_only_what_comes() -> None:
    """It is of the champion's kind, competes like the others, and makes room for the next one."""
    subject = taught(EXAMPLES)
    first = subject.contest.begin_fresh(subject.examples)
    taught(examples(300, seed=4), subject)
    found = {one.name: one for one in subject.standings()}
    second = subject.contest.begin_fresh(subject.examples)

    assert (first, second) == ("logistic~1", "logistic~2")
    assert (found[first].begun, found[first].judged) == (len(EXAMPLES), 300)
    assert first not in subject.serving(0).record.forms
    assert second in subject.serving(0).record.forms
    with pytest.raises(ValueError, match="max_fresh is 0"):
        learner(TrainerSettings(candidates=("logistic",), max_fresh=0)).contest.begin_fresh(0)


def test_a_fresh_challenger_takes_over_after_a_drift() -> None:
    """When the law turns round it beats the old champion of its own kind, though alarms are raised meanwhile."""
    subject = lived(examples(6000))
    subject.contest.begin_fresh(subject.examples)
    turned = [msgspec.structs.replace(item, label=1 - item.label) for item in examples(6000, seed=31)]
    seen = []
    for start in range(0, len(turned), 100):
        lived(turned[start : start + 100], subject)
        seen.append(subject.champion)

    assert "logistic~1" in seen


def test_promotion_by_hand() -> None:
    """With `manual` nothing moves by itself; a command moves it, and refuses what is not there."""
    subject = taught(examples(6000), learner(msgspec.structs.replace(TRAINER, promotion="manual")))
    before = subject.champion
    with pytest.raises(ValueError, match="allowed: logistic"):
        subject.contest.promote("nobody", "")
    with pytest.raises(ValueError, match="champion already"):
        subject.contest.promote("rule", "")
    subject.contest.promote("logistic", "asked for")

    assert (before, subject.champion, subject.serving(0).record.move) == ("rule", "logistic", "asked for")


def test_commands_are_part_of_what_is_restored() -> None:
    """Promotion, distrust and a fresh challenger survive a restart bit for bit."""
    items = examples(3000)
    once = taught(items[:1000])
    once.contest.promote("logistic", "asked for")
    once.contest.distrust("v1")
    once.contest.begin_fresh(once.examples)
    twice = restored(once)
    taught(items[1000:], once)
    taught(items[1000:], twice)

    assert twice.checkpoint() == once.checkpoint()
    assert twice.serving(1).to_record() == once.serving(1).to_record()


def test_other_candidates_in_the_settings_than_in_the_checkpoint() -> None:
    """One that is gone is left out, the rule serves in its place; a new one joins and knows nothing."""
    subject = taught(EXAMPLES[:500])
    subject.contest.promote("logistic", "asked for")
    plain = json.loads(json.dumps(subject.checkpoint()))
    without = Learner.restore(plain, FEATURES, VERSION, LABEL, msgspec.structs.replace(TRAINER, candidates=()))
    again = Learner.restore(without.checkpoint(), FEATURES, VERSION, LABEL, TRAINER)

    assert (without.champion, [one.name for one in without.standings()]) == ("rule", ["rule"])
    assert "no longer" in without.serving(0).record.move
    assert {one.name: one.begun for one in again.standings()} == {"rule": 0, "logistic": 500}
    with pytest.raises(ValueError, match="allowed: "):
        learner(msgspec.structs.replace(TRAINER, candidates=("magic",)))
