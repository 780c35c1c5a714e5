"""What was emitted, over windows, cohorts and against references."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from models import evaluation
from models.evaluation import EvaluationRows, Least, evaluate, profit
from models.settings import OfferSettings

DAY = 86_400.0
NOW = 400 * DAY
OFFER = OfferSettings()


def rows(customers: int = 400, weeks: int = 20, seed: int = 1) -> EvaluationRows:
    """Weekly predictions up to now with a horizon of 30 days; the truth of the last four weeks is not known yet."""
    rng = np.random.default_rng(seed)
    count = customers * weeks
    as_of = NOW - np.tile(np.arange(weeks), customers) * 7 * DAY
    p = 1.0 / (1.0 + np.exp(-rng.normal(-1.0, 1.5, count)))
    label = (rng.random(count) < p).astype(float)
    label[as_of + 30 * DAY > NOW] = math.nan
    return EvaluationRows(
        customer=np.repeat(np.arange(customers), weeks),
        as_of=as_of,
        due_at=as_of + 30 * DAY,
        label=label,
        probability=p,
        references={
            "rule": np.clip(np.round(p + rng.normal(0, 0.1, count), 1), 0.1, 0.9),
            "prior": np.full(count, 0.3),
        },
    )


def by_key(found: list[evaluation.Evaluation]) -> dict[tuple[float | None, str, str], evaluation.Evaluation]:
    return {(e.window_days, e.cohort, e.predictor): e for e in found}


def test_every_window_is_measured_on_its_own_rows() -> None:
    """A window of 30 days equals measuring by hand the rows whose horizon ended in those days."""
    columns = rows()
    found = by_key(evaluate(columns, NOW, OFFER))
    inside = (columns.due_at <= NOW) & (columns.due_at > NOW - 30 * DAY)
    labels, p = columns.label[inside], columns.probability[inside]

    one = found[30.0, "all", "emitted"]
    assert [window for window, _, _ in found][::3] == [7.0, 30.0, 90.0, None]
    assert (one.rows, one.customers, one.positives) == (inside.sum(), 400, labels.sum())
    assert one.measures["auc"].value == evaluation.auc(labels, p)
    assert one.measures["average_precision"].value == evaluation.average_precision(labels, p)
    assert one.measures["log_loss"].value == pytest.approx(evaluation.log_loss(labels, p))
    assert one.measures["brier"].value == pytest.approx(evaluation.brier(labels, p))
    assert one.measures["ece"].value == pytest.approx(evaluation.ece(labels, p))
    assert one.measures["precision_at_top"].value == pytest.approx(evaluation.precision_at(labels, p, 0.1))
    assert one.measures["recall_at_top"].value == pytest.approx(evaluation.recall_at(labels, p, 0.1))
    assert one.measures["lift_at_top"].value == pytest.approx(evaluation.lift_at(labels, p, 0.1))
    assert one.measures["rate"].value == pytest.approx(labels.mean())
    assert one.measures["profit"].value * one.rows == pytest.approx(profit.profit_above(labels, p, OFFER))


def test_leavers_known_early_wait_for_the_end_of_their_horizon() -> None:
    """Positives whose horizon is still open are in no window: they would come without their stayers."""
    columns = rows()
    early = msgspec.structs.replace(columns, label=np.where(np.isnan(columns.label), 1.0, columns.label))

    assert evaluate(early, NOW, OFFER) == evaluate(columns, NOW, OFFER)


def test_the_model_is_compared_with_each_reference_on_the_same_rows() -> None:
    """Differences are those of the measures, and their intervals are tighter than those of either."""
    found = by_key(evaluate(rows(), NOW, OFFER))
    emitted, rule = found[90.0, "all", "emitted"], found[90.0, "all", "rule"]
    difference = emitted.against["rule"]["log_loss"]

    assert difference.value == pytest.approx(emitted.measures["log_loss"].value - rule.measures["log_loss"].value)
    assert difference.high < 0.0
    own = emitted.measures["log_loss"]
    assert difference.high - difference.low < own.high - own.low
    assert set(emitted.against) == {"rule", "prior"}
    assert (rule.against, emitted.against["prior"]["auc"].value) == ({}, emitted.measures["auc"].value - 0.5)


def test_cohorts_are_measured_apart_and_small_ones_only_counted() -> None:
    """A cohort's figures are those of its rows alone; below the least counts there are none."""
    columns = rows()
    half, few = columns.customer < 200, columns.customer < 20
    found = by_key(evaluate(columns, NOW, OFFER, cohorts={"half": half, "few": few}))
    alone = by_key(evaluate(columns.where(half), NOW, OFFER))

    assert found[90.0, "half", "emitted"].measures == alone[90.0, "all", "emitted"].measures
    assert (found[90.0, "few", "rule"].customers, found[90.0, "few", "rule"].measures) == (20, {})
    assert found[90.0, "few", "emitted"].against == {}


@pytest.mark.parametrize("least", [Least(rows=10**6), Least(positives=10**6), Least(negatives=10**6)])
def test_too_few_of_any_kind_gives_counts_only(least: Least) -> None:
    """Rows, positives and negatives each have to be enough."""
    assert all(not e.measures and e.rows for e in evaluate(rows(), NOW, OFFER, least=least))


def test_nothing_known_gives_zero_counts() -> None:
    """Before the first truth, and with no row at all, the answer is complete and empty."""
    columns = rows()
    early, none = evaluate(columns, 0.0, OFFER), evaluate(columns.where(slice(0)), NOW, OFFER)

    assert [(e.rows, e.measures) for e in early] == [(0, {})] * 12
    assert early == none


def test_rows_where_a_reference_is_silent_are_left_out_for_all() -> None:
    """So that everyone is measured on the same rows."""
    columns = rows()
    rule = np.where(columns.customer < 100, math.nan, columns.references["rule"])
    found = evaluate(msgspec.structs.replace(columns, references={"rule": rule}), NOW, OFFER)

    assert {e.customers for e in found} == {300}


def test_columns_of_other_lengths_are_refused() -> None:
    """The message names the column and both lengths."""
    with pytest.raises(ValueError, match=r"'rule': 3.*beside 8000 customers"):
        msgspec.structs.replace(rows(), references={"rule": np.zeros(3)})
    with pytest.raises(ValueError, match="not named 'emitted'"):
        msgspec.structs.replace(rows(), references={"emitted": rows().probability})


def test_an_evaluation_is_plain_data() -> None:
    """Through JSON and back it is equal."""
    found = evaluate(rows(), NOW, OFFER)

    assert msgspec.json.decode(msgspec.json.encode(found), type=list[evaluation.Evaluation]) == found
