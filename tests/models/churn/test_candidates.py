"""One suite over all candidates of the registry: what every model must do before it may become champion."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from models.churn import record as records
from models.churn.calibration import sigmoid
from models.churn.candidates import CANDIDATES
from models.churn.candidates.base import Candidate
from models.churn.forms import Form, form_faults, scorers
from models.churn.forms.base import Scorer
from models.churn.scaling import Column
from models.churn.serving import ServingModel
from models.features.base import Feature
from tests.models.churn.samples import FEATURES, LABEL, TRAINER, VERSION, labels, truth, vectors

COLUMNS = tuple(Column(feature.name, feature.transform) for feature in FEATURES)
WIDTH = len(FEATURES)
every = pytest.mark.parametrize("name", CANDIDATES)


def fresh(name: str, seed: int = 1, features: tuple[Feature, ...] = FEATURES) -> Candidate:
    return CANDIDATES[name].make(features, LABEL.kind, TRAINER, seed)


def taught(subject: Candidate, x: npt.NDArray[Any], drawn: Iterable[int]) -> Candidate:
    for row, label in zip(x, drawn, strict=True):
        subject.learn(row, label)
    return subject


def sample(count: int, seed: int = 7) -> tuple[npt.NDArray[np.float32], list[int]]:
    x = vectors(count, seed)
    return x, labels(x, seed + 1).tolist()


def scorer_of(form: Form) -> Scorer:
    return scorers({"it": form}, COLUMNS)["it"]


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(state, allow_nan=False))
    return found


def reach(thing: Any) -> int:
    """Bytes of all that is reachable from an object, shared things once, classes and modules not."""
    seen: set[int] = set()
    size, open_ = 0, [thing]
    while open_:
        one = open_.pop()
        if id(one) in seen or isinstance(one, type | type(sys)) or callable(one):
            continue
        seen.add(id(one))
        size += sys.getsizeof(one)
        if isinstance(one, dict):
            open_ += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            open_ += one
        if not isinstance(one, str | bytes | int | float):
            open_ += getattr(one, "__dict__", {}).values()
    return size


@every
def test_predicting_is_pure(name: str) -> None:
    """Asking for log-odds, form and state, however often, leaves no trace in what is learned, nor in the vector."""
    x, drawn = sample(600)
    asked, quiet = fresh(name), taught(fresh(name), x, drawn)
    before = x.copy()
    for i, (row, label) in enumerate(zip(x, drawn, strict=True)):
        asked.learn(row, label)
        asked.logit(row)
        if i % 50 == 0:
            assert asked.logit(row) == asked.logit(row)
            asked.form()
            asked.state()

    assert np.array_equal(before, x, equal_nan=True)
    assert json.dumps(asked.state()) == json.dumps(quiet.state())


@every
def test_a_state_that_was_handed_out_does_not_change(name: str) -> None:
    """Further learning touches no part of it."""
    x, drawn = sample(400)
    subject = taught(fresh(name), x[:200], drawn[:200])
    state = subject.state()
    before = json.dumps(state)
    taught(subject, x[200:], drawn[200:])

    assert json.dumps(state) == before


@every
@pytest.mark.parametrize("cut", [0, 1, 17, 1500])
def test_stored_and_continued_equals_undisturbed(name: str, cut: int) -> None:
    """Through JSON bytes, without pickle, a model goes on bit for bit, and says bit for bit the same."""
    x, drawn = sample(2200)
    undisturbed = taught(fresh(name), x, drawn)
    restored = fresh(name, seed=99)
    restored.load(through_json(taught(fresh(name), x[:cut], drawn[:cut]).state()))
    taught(restored, x[cut:], drawn[cut:])

    assert json.dumps(restored.state()) == json.dumps(undisturbed.state())
    assert restored.form() == undisturbed.form()
    assert [restored.logit(row) for row in x[:50]] == [undisturbed.logit(row) for row in x[:50]]


@every
def test_a_seed_decides_everything(name: str) -> None:
    """The same seed and examples give the same model, byte for byte."""
    x, drawn = sample(1500)

    assert json.dumps(taught(fresh(name, 5), x, drawn).state()) == json.dumps(taught(fresh(name, 5), x, drawn).state())


@every
@pytest.mark.parametrize("count", [0, 1, 40, 2500])
def test_the_form_says_what_the_candidate_says(name: str, count: int) -> None:
    """Numpy on plain data and the learner itself agree to 1e-9 of probability, after none, one or many examples."""
    x, drawn = sample(count)
    subject = taught(fresh(name), x, drawn)
    asked = vectors(300, seed=99)
    served = sigmoid(scorer_of(subject.form()).logits(asked))
    expected = sigmoid(np.array([subject.logit(row) for row in asked]))

    assert served.tolist() == pytest.approx(expected.tolist(), abs=1e-9)


@every
def test_contributions_add_up_exactly(name: str) -> None:
    """Per row the columns' contributions and the average customer's log-odds make the row's log-odds."""
    x, drawn = sample(2500)
    scorer = scorer_of(taught(fresh(name), x, drawn).form())
    asked = vectors(400, seed=98)
    moved = scorer.contributions(asked)

    assert moved.shape == asked.shape
    assert (moved != 0.0).any()
    assert (moved.sum(axis=1) + scorer.base).tolist() == pytest.approx(scorer.logits(asked).tolist(), abs=1e-9)


@every
def test_a_row_says_the_same_in_any_batch(name: str) -> None:
    """Log-odds and contributions are bit for bit independent of the other rows."""
    x, drawn = sample(1500)
    scorer = scorer_of(taught(fresh(name), x, drawn).form())
    asked = vectors(130, seed=97)
    alone = [scorer.logits(asked[i : i + 1])[0] for i in range(len(asked))]
    explained = [scorer.contributions(asked[i : i + 1])[0].tolist() for i in range(len(asked))]

    assert scorer.logits(asked).tolist() == alone
    assert scorer.contributions(asked).tolist() == explained
    assert len(scorer.logits(asked[:0])) == 0


@every
def test_columns_may_appear_and_vanish(name: str) -> None:
    """A column that is unknown for long, then known, then unknown again, breaks nothing and is learned while known."""
    x, drawn = sample(9000)
    x[:1500, 3], x[7500:, 3] = np.nan, np.nan
    subject = taught(fresh(name), x[:7500], drawn[:7500])
    low, high = x[0].copy(), x[0].copy()
    low[3], high[3] = 2.0, -2.0
    learned = subject.logit(high) - subject.logit(low)
    taught(subject, x[7500:], drawn[7500:])

    assert learned > 0.0
    assert all(math.isfinite(subject.logit(row)) for row in x[-50:])
    assert np.isfinite(scorer_of(subject.form()).logits(x)).all()


@every
def test_a_state_of_other_columns_is_refused(name: str) -> None:
    """A model does not go on with a vector of another length, and says so."""
    x, drawn = sample(300)
    state = through_json(taught(fresh(name), x, drawn).state())
    for features in (FEATURES[:-1], (*FEATURES, Feature("new", "g", "u", "d"))):
        with pytest.raises(ValueError, match=f"{len(features)} columns"):
            fresh(name, features=features).load(state)


@every
@pytest.mark.parametrize("broken", [{}, {"extra": 1}, {"counts": "many"}, {"forest": []}])
def test_a_malformed_state_is_refused(name: str, broken: dict[str, Any]) -> None:
    """Missing fields and wrong types raise ValueError, nothing else."""
    with pytest.raises(ValueError, match=r".+"):
        fresh(name).load(broken)


@every
def test_hostile_vectors_do_no_harm(name: str) -> None:
    """All unknown, zeros, the largest 32-bit floats of either sign: the model stays finite and goes on being right."""
    x, drawn = sample(3000)
    largest = float(np.finfo(np.float32).max)
    hostile = np.array([[value] * WIDTH for value in (np.nan, 0.0, -1.0, largest, -largest, 1e-45)], dtype=np.float32)
    subject = fresh(name)
    with np.errstate(all="raise", under="ignore"):
        for i, (row, label) in enumerate(zip(x, drawn, strict=True)):
            if i % 500 == 0:
                taught(subject, hostile, [i % 2] * len(hostile))
            subject.learn(row, label)
        scorer = scorer_of(subject.form())
        logits, moved = scorer.logits(hostile), scorer.contributions(hostile)

    assert np.isfinite(logits).all()
    assert np.isfinite(moved).all()
    asked = vectors(2000, seed=5)
    assert np.corrcoef(scorer.logits(asked), truth(asked))[0, 1] > 0.4


@every
def test_one_class_alone_gives_no_certainty(name: str) -> None:
    """A model that only ever saw customers who stay, or who leave, still says a probability between 0 and 1."""
    x, _ = sample(800)
    for label in (0, 1):
        p = sigmoid(scorer_of(taught(fresh(name), x, [label] * len(x)).form()).logits(x))

        assert ((p > 0.0) & (p < 1.0)).all()


@every
def test_memory_is_bounded(name: str) -> None:
    """After the warm-up, as many examples again, of a law that changed, let the model grow by no more than a tenth."""
    x, drawn = sample(12_000)
    subject = taught(fresh(name), x[:8000], drawn[:8000])
    before = reach(subject)
    taught(subject, x[8000:], [1 - label for label in drawn[8000:]])

    assert reach(subject) <= before * 1.1
    assert len(json.dumps(subject.state())) < 4_000_000


@every
def test_what_is_published_passes_its_checks(name: str) -> None:
    """The form is accepted as part of a record, comes back from its bytes as it was, and is served from there."""
    x, drawn = sample(2500)
    form = taught(fresh(name), x, drawn).form()
    initial = ServingModel.initial(FEATURES, VERSION, LABEL).record
    record = msgspec.structs.replace(initial, forms={**initial.forms, name: form}, champion=name)
    model = ServingModel.from_record(records.encode(records.seal(record)))

    assert list(form_faults({name: form}, COLUMNS)) == []
    assert model.record.forms[name] == form
    assert model.score(x).probability.tolist() == sigmoid(scorer_of(form).logits(x)).tolist()


@every
def test_it_learns(name: str) -> None:
    """After some thousand examples fresh customers' probabilities go with their true ones."""
    x, drawn = sample(6000)
    asked = vectors(3000, seed=55)
    logits = scorer_of(taught(fresh(name), x, drawn).form()).logits(asked)

    assert np.corrcoef(sigmoid(logits), truth(asked))[0, 1] > 0.75
