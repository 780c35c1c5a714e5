"""What an analysis finds in a snapshot: measures by day and window, estimates, cohorts, drift; and how it goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.evaluation import auc, log_loss
from models.settings import DriftSettings, EvaluationSettings, LabelSettings, Settings, WarehouseSettings
from streams.warehouse.analysis import Analysis
from streams.warehouse.analyst import Analyst
from streams.warehouse.findings import Findings, Metric
from streams.warehouse.quality_query import quality
from streams.warehouse.writer import WarehouseWriter
from tests.streams.warehouse.ledgers import DAY, FIRST, ledger, publish, told
from tests.streams.warehouse.support import make_label, make_pending, rows_of

WEEKLY = Settings(label=LabelSettings(horizon_days=7.0))
#: An hour and a bit after the midnight of a day; so that its day is looked at.
END = (FIRST + 40) * DAY + 2 * 3600.0


@pytest.fixture
def writer(tmp_path: Path):
    writer = WarehouseWriter(tmp_path / "warehouse" / "live.duckdb")
    yield writer
    writer.close()


def look(path: Path, settings: Settings = WEEKLY, *, within_s: float = 60.0, fresh: bool = True) -> Findings:
    return Analysis(path, settings, within_s=within_s, fresh=fresh).run()


def pick(found: Findings, **wanted: Any) -> list[Metric]:
    return [one for one in found.metrics if all(getattr(one, name) == value for name, value in wanted.items())]


def test_realised_measures_are_those_of_the_rows(tmp_path: Path, writer: WarehouseWriter) -> None:
    """A midnight's measure over 30 days equals the plain measure of the labels whose horizon ended in them."""
    labels = ledger(60, 8, END)
    found = look(publish(tmp_path, writer, labels).path)
    at = (FIRST + 40) * DAY
    inside = [one for one in labels if at - 30 * DAY < one.due_at <= at]
    truth, said = np.array([one.label for one in inside], float), np.array([one.probability for one in inside])
    rule = np.array([one.rule_probability for one in inside])
    here = {"as_of": at, "window_days": 30.0, "kind": "realised", "cohort": "all", "reference": None}
    (area,) = pick(found, measure="auc", predictor="emitted", **here)
    (loss,) = pick(found, measure="log_loss", predictor="rule", **here)
    (bold,) = pick(found, measure="auc", predictor="bold", **here)

    assert area.value == pytest.approx(auc(truth, said))
    assert area.low is not None
    assert area.high is not None
    assert area.low < area.value < area.high  # type: ignore[operator]
    assert loss.value == pytest.approx(log_loss(truth, rule))
    assert bold.value == pytest.approx(area.value)
    assert (area.predictions, area.positives, area.horizon_days) == (len(inside), int(truth.sum()), 7.0)


def test_differences_to_rule_and_prior_are_told(tmp_path: Path, writer: WarehouseWriter) -> None:
    """What is emitted is compared with each reference on the same rows."""
    found = look(publish(tmp_path, writer, ledger(60, 8, END)).path)
    here = {"as_of": found.clock, "window_days": None, "kind": "realised", "cohort": "all", "measure": "log_loss"}
    (own,), (rule,) = (pick(found, predictor=who, reference=None, **here) for who in ("emitted", "rule"))
    (difference,) = pick(found, predictor="emitted", reference="rule", **here)

    assert difference.value == pytest.approx(own.value - rule.value)  # type: ignore[operator]


def test_there_is_a_row_for_every_midnight_and_one_for_now(tmp_path: Path, writer: WarehouseWriter) -> None:
    """Each day since the first prediction is measured as of its midnight, and the newest time too, once."""
    snapshot = publish(tmp_path, writer, ledger(30, 6, END))
    writer.note(look(snapshot.path), WarehouseSettings())
    clock = max(one.known_at for one in ledger(30, 6, END))
    days = rows_of(writer, "SELECT DISTINCT epoch(as_of) / 86400 FROM model_metrics ORDER BY 1")

    assert [day for (day,) in days] == [*range(FIRST + 1, int((clock - 3600) // DAY) + 1), clock / DAY]


def test_expected_stands_beside_realised(tmp_path: Path, writer: WarehouseWriter) -> None:
    """With calibrated probabilities most realised values lie where they were expected, a horizon before."""
    writer.note(look(publish(tmp_path, writer, ledger(150, 7, END)).path), WarehouseSettings())
    judged = rows_of(
        writer,
        "SELECT count(*), avg(as_expected::INT) FROM expected_and_realised WHERE predictor = 'emitted' "
        "AND measure IN ('auc', 'log_loss', 'rate') AND realised IS NOT NULL AND low IS NOT NULL",
    )

    assert judged[0][0] > 100
    assert judged[0][1] > 0.9


def test_what_waits_is_estimated(tmp_path: Path, writer: WarehouseWriter) -> None:
    """Before any label is known there are estimates of all that waits, and no realised measures."""
    found = look(publish(tmp_path, writer, ledger(50, 1, 0.0)).path)
    waiting = pick(found, as_of=found.clock, window_days=None, predictor="emitted", measure="profit")

    assert {one.kind for one in found.metrics} == {"estimated"}
    assert [(one.predictions, one.positives, one.realised_at) for one in waiting] == [(50, None, None)]


def test_void_predictions_do_not_count(tmp_path: Path, writer: WarehouseWriter) -> None:
    """Who left in the gap is in no measure."""
    void = [make_label(i, horizon_days=7.0, status="void", outcome="left_in_gap", label=None) for i in range(50)]
    found = look(publish(tmp_path, writer, void).path)

    assert found.metrics == []


def test_a_cohort_is_measured_by_the_features_of_the_time(tmp_path: Path, writer: WarehouseWriter) -> None:
    """A prediction belongs to a cohort by the last features told until then, not by later ones."""
    labels = [
        make_pending(customer_id=customer, as_of=FIRST * DAY + 0.0005, due_at=(FIRST + 7) * DAY, horizon_days=7.0)
        for customer in ("young", "old", "never")
    ]
    scores = [
        told("young", 1, FIRST * DAY - 99.0, tenure_days=200.0),
        told("young", 2, FIRST * DAY + 0.001, tenure_days=10.0),
        told("young", 3, FIRST * DAY + 99.0, tenure_days=300.0),
        told("old", 1, FIRST * DAY - 99.0, tenure_days=200.0),
    ]
    cohorts = EvaluationSettings(cohorts=("new: tenure_days < 90", "unseen: tenure_days is unknown"))
    settings = Settings(label=WEEKLY.label, evaluation=cohorts)
    found = look(publish(tmp_path, writer, labels, scores).path, settings)
    rates = {one.cohort: one.predictions for one in pick(found, window_days=7.0, predictor="rule", measure="rate")}

    assert rates == {"all": 3, "new": 1, "unseen": 1}


def test_reliability_holds_every_prediction_once(tmp_path: Path, writer: WarehouseWriter) -> None:
    """The bins of a window add up to its labels."""
    found = look(publish(tmp_path, writer, ledger(60, 8, END)).path)
    newest = [one for one in found.bins if one.as_of == found.clock and one.window_days is None]
    (rate,) = pick(found, as_of=found.clock, window_days=None, kind="realised", predictor="emitted", measure="rate")

    assert (sum(one.predictions for one in newest), sum(one.positives for one in newest)) == (
        rate.predictions,
        rate.positives,
    )


def served(days: range, moved_from: int) -> list[bytes]:
    """Scores of 60 customers a day whose tenure moves on a day."""
    dice = np.random.default_rng(3)
    return [
        told(
            f"c{i}", day, (FIRST + day) * DAY + 7200.0 + i, float(dice.uniform(0.1, 0.5)),
            tenure_days=float(dice.normal(100.0 + 80.0 * (day >= moved_from), 10.0)), last_sentiment=None,
        )
        for day in days
        for i in range(60)
    ]  # fmt: skip


DRIFTING = Settings(
    label=WEEKLY.label, drift=DriftSettings(settle_days=0, reference_days=7, window_days=7, alarms_per_month=1.0)
)


def test_a_feature_that_moves_is_an_alarm(tmp_path: Path, writer: WarehouseWriter) -> None:
    """Every day and feature is described; the one that moved is in alarm, and no other."""
    found = look(publish(tmp_path, writer, scores=served(range(61), 50)).path, DRIFTING)
    day = [one for one in found.drift if one.day == FIRST + 59]
    by_name = {one.feature: one for one in day}

    assert {one.day for one in found.drift} == set(range(FIRST, FIRST + 60))
    assert {alarm.feature for alarm in found.alarms} == {"tenure_days"}
    assert FIRST + 50 <= found.alarms[0].day <= FIRST + 56
    assert by_name["tenure_days"].q50 == pytest.approx(180.0, abs=8.0)
    assert by_name["tenure_days"].moved
    assert (by_name["last_sentiment"].null_rate, by_name["last_sentiment"].mean) == (1.0, None)
    assert 0.2 < (by_name["probability"].mean or 0.0) < 0.4
    assert by_name["probability"].predictions == 60


def test_interrupted_anywhere_it_finds_the_same(tmp_path: Path, writer: WarehouseWriter) -> None:
    """Many short looks, each on a snapshot with what the last one found, write what one long look writes."""
    labels, scores = ledger(30, 2, END), served(range(21), 15)
    whole = look(publish(tmp_path, writer, labels, scores).path, DRIFTING)
    writer.note(whole, WarehouseSettings())
    tables = ("model_metrics", "reliability", "drift", "analysed")
    expected = {table: rows_of(writer, f"FROM {table} ORDER BY ALL") for table in tables}
    for table in tables:
        rows_of(writer, f"DELETE FROM {table}")
    looks, more = 0, True
    while more:
        found = look(publish(tmp_path, writer).path, DRIFTING, within_s=0.0)
        writer.note(found, WarehouseSettings())
        looks, more = looks + 1, found.more

    assert looks > 15
    assert {table: rows_of(writer, f"FROM {table} ORDER BY ALL") for table in tables} == expected


def test_nothing_new_finds_nothing(tmp_path: Path, writer: WarehouseWriter) -> None:
    """Without new labels and days there is nothing to write, so publishing comes to rest."""
    writer.note(look(publish(tmp_path, writer, ledger(30, 3, END)).path), WarehouseSettings())
    again = look(publish(tmp_path, writer).path, fresh=False)

    assert again.empty


def test_old_rows_are_forgotten(tmp_path: Path, writer: WarehouseWriter) -> None:
    """What is older than is to be kept goes with the next findings; the current score stays."""
    scores = [told("old", 1, FIRST * DAY), told("new", 1, END)]
    found = look(publish(tmp_path, writer, ledger(30, 6, END), scores).path)
    keep = WarehouseSettings(keep_history_days=20.0, keep_labels_days=10.0, keep_metrics_days=5.0)
    writer.note(found, keep)

    assert rows_of(writer, "SELECT customer_id FROM scores_history") == [("new",)]
    assert rows_of(writer, "SELECT count(*) FROM features") == [(1,)]
    assert rows_of(writer, "SELECT count(*) FROM scores") == [(2,)]
    assert rows_of(
        writer, "SELECT min(due_at) >= to_timestamp(?)::TIMESTAMP FROM labels".replace("?", str(END - 10 * DAY))
    )
    oldest = rows_of(writer, "SELECT epoch(min(as_of)) FROM model_metrics")
    assert oldest[0][0] >= END - 5 * DAY


def test_the_console_reads_what_was_found(tmp_path: Path, writer: WarehouseWriter) -> None:
    """Newest measures by window, lines by day, reliability and alarms; nothing where nothing was found."""
    empty = quality(publish(tmp_path, writer).path)
    writer.note(
        look(publish(tmp_path, writer, ledger(60, 8, END), served(range(61), 50)).path, DRIFTING), WarehouseSettings()
    )
    found = quality(publish(tmp_path, writer).path)
    rule, emitted = (found["windows"]["all"][who]["log_loss"][0] for who in ("rule", "emitted"))

    assert empty == {}
    assert set(found["windows"]) == {"30", "90", "all"}
    assert found["against_rule"]["all"]["emitted"]["log_loss"][0] == pytest.approx(emitted - rule)
    assert found["estimated"]["auc"][0] > 0.5
    assert found["lines"]["t"] == sorted(found["lines"]["t"])
    assert len(found["lines"]["auc.emitted"]) == len(found["lines"]["t"]) > 20
    assert sum(one["predictions"] for one in found["reliability"]) == found["windows"]["90"]["emitted"]["predictions"]
    assert [alarm["feature"] for alarm in found["alarms"]] == ["tenure_days"]
    assert found["moved"] == ["tenure_days"]


def test_a_look_that_fails_is_told_and_made_again(tmp_path: Path, writer: WarehouseWriter) -> None:
    """A snapshot that cannot be read ends nothing: it counts, and the next snapshot is looked at."""

    async def scenario() -> tuple[Findings | None, int, Findings | None]:
        analyst = Analyst(WEEKLY)
        analyst.begin(tmp_path / "nothing.duckdb")
        failed = await analyst.collect(wait=True)
        analyst.begin(publish(tmp_path, writer, ledger(30, 3, END)).path, now=True)
        found = await analyst.collect(wait=True)
        await analyst.close()
        return failed, analyst.failures, found

    failed, failures, found = asyncio.run(scenario())

    assert (failed, failures) == (None, 1)
    assert found is not None
    assert found.metrics
