"""What the command line and the console read from a snapshot."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from streams.warehouse.errors import NoSnapshot
from streams.warehouse.query import customer, customers_at_risk, score_as_of, summary
from streams.warehouse.snapshot import Publisher, live_path, snapshots_dir
from streams.warehouse.writer import WarehouseWriter
from tests.streams.warehouse.support import batch_of, make_label, make_pending, make_score


@pytest.fixture
def path(tmp_path: Path) -> Path:
    scores = [
        make_score("ada", 1, probability=0.2, band="medium", likelihood_to_churn=False),
        make_score("ada", 2, probability=0.7, band="critical"),
        make_score("bob", 1, probability=0.5, as_of="2026-01-01T00:00:05Z"),
        make_score("eve", 3, probability=1.0, band="left", eligible=False, likelihood_to_churn=False, reasons=()),
    ]
    writer = WarehouseWriter(live_path(tmp_path))
    writer.apply(batch_of(scores, [make_label(), make_label(2, label=0, outcome="stayed"), make_pending(3)]))
    published = Publisher(writer, snapshots_dir(tmp_path), 3).publish(datetime(2026, 2, 1, tzinfo=UTC))
    writer.close()
    return published.path


def test_customers_at_risk_come_first_and_with_reasons(path: Path) -> None:
    """Most likely first, without those who have left."""
    rows = customers_at_risk(path, 5)

    assert [(row["customer_id"], row["probability"]) for row in rows] == [("ada", 0.7), ("bob", 0.5)]
    assert rows[0]["reasons"][0] == {
        "rank": 1,
        "feature": "order",
        "value": 0.5,
        "contribution": 0.8,
        "typical": 0.25,
        "text": "half an order",
    }
    assert rows[0]["scored_at"] == "2026-01-02T00:00:00.000Z"
    assert len(customers_at_risk(path, 1)) == 1


def test_a_customer_has_score_features_and_history(path: Path) -> None:
    """One customer's newest score, known features and last scores."""
    found = customer(path, "ada")

    assert found is not None
    assert (found["score_id"], found["band"], found["features"]) == (
        "ada-2",
        "critical",
        {"orders_30d": 2.0, "order": 0.5},
    )
    assert found["source_offsets"] == {"purchases/0": 41, "clickstream/3": 7}
    assert [(one["score_id"], one["probability"]) for one in found["history"]] == [("ada-2", 0.7), ("ada-1", 0.2)]


def test_an_unknown_customer_is_none(path: Path) -> None:
    """Nothing is made up."""
    assert customer(path, "nobody' OR 1=1") is None


def test_the_summary_counts(path: Path) -> None:
    """Customers by state and band, examples, and the snapshot itself."""
    found = summary(path)

    assert (found["customers"], found["eligible"], found["likely_to_churn"]) == (3, 2, 2)
    assert (found["bands"], found["examples"], found["positives"]) == ({"critical": 1, "high": 1, "left": 1}, 2, 1)
    assert found["mean_probability"] == pytest.approx(0.6)
    assert found["snapshot"] == {
        "number": 1, "created_at": "2026-02-01T00:00:00.000Z", "event_watermark": "2026-01-01T00:00:00.125Z",
        "scores": 3, "scores_history": 4, "labels": 3, "told": 2,
    }  # fmt: skip


def test_scores_as_of_a_time_are_the_newest_until_then(path: Path) -> None:
    """The cut-off is inclusive, and later scores are not known then."""
    new_year = datetime(2026, 1, 1, tzinfo=UTC).timestamp()

    assert score_as_of(path, new_year) == {}
    assert score_as_of(path, new_year + 1) == {"ada": 0.2}
    assert score_as_of(path, new_year + 3) == {"ada": 0.7, "eve": 1.0}
    assert score_as_of(path, new_year + 9, eligible_only=True) == {"ada": 0.7, "bob": 0.5}


def test_a_pruned_snapshot_is_told(tmp_path: Path) -> None:
    """A path that is gone is no DuckDB riddle."""
    with pytest.raises(NoSnapshot, match="newer ones have replaced it"):
        summary(tmp_path / "ebbtide-1.duckdb")
