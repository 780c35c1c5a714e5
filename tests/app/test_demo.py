"""The demo: a small story through every role, and what makes it fail."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pytest

from app.demo.figures import Figures, Judged, problems, quality
from app.demo.report import lines
from app.demo.scenario import CompleteJourney, Simulated, choose
from app.errors import UsageError
from models.features import FEATURE_NAMES
from models.settings import Settings
from streams.verify import Report

ROOT = Path(__file__).resolve().parents[2]


def arguments(**given: Any) -> argparse.Namespace:
    usual = {"real": False, "customers": None, "days": None, "seed": None, "json": None, "keep": False}
    return argparse.Namespace(**(usual | given))


def verification(**given: Any) -> Report:
    usual: dict[str, Any] = {
        "source": "a log", "customers": 4, "served": 4, "events": 99, "refused": 1, "repeats": 0, "as_of": 0.0,
        "features": FEATURE_NAMES, "wrong": {},
    }  # fmt: skip
    return Report(**(usual | given))


def figures(**given: Any) -> Figures:
    good = quality(np.array([0, 1, 0, 1]), np.array([0.1, 0.8, 0.3, 0.6]))
    usual: dict[str, Any] = {
        "scenario": "a story", "events": 100, "seconds": 2.0, "events_per_s": 50.0, "customers": 4, "scores": 9,
        "examples": 4, "quarantined": {"empty": 1}, "judged": (Judged("all", {"emitted": good, "rule": good}),),
        "cutoffs": (), "likely_to_churn": 1, "snapshot": "x.duckdb", "deliveries": {"delivered": 2, "superseded": 1},
        "webhook_received": 2, "console": "http://127.0.0.1:1",
        "at_risk": ({"customer_id": "anna", "probability": 0.9, "reasons": [
            {"rank": 1, "feature": "days_since_order", "value": 40.0, "contribution": 1.2}]},),
        "verified": verification(),
    }  # fmt: skip
    return Figures(**(usual | given))


def test_a_small_demo_plays_through_every_role(tmp_path: Path) -> None:
    """Run as a stranger would, it ends by itself with status 0, and its figures and snapshot agree."""
    json = tmp_path / "figures.json"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EBBTIDE_")}
    env = kept | {"EBBTIDE_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": str(ROOT), "EBBTIDE_HTTP_CONSOLE_PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "demo", "--customers", "80", "--days", "50", "--json", str(json)],
        env=env, capture_output=True, text=True, check=False, timeout=150, cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    told = msgspec.json.decode(json.read_bytes(), type=Figures)
    assert told.events > 3000
    assert told.scores > 80
    assert len(told.at_risk) == 10
    known = {"best possible knowing all", "best possible from events"}
    assert {"emitted", "rule", "prior"} | known == set(told.judged[0].predictors)
    assert told.judged[0].predictors["emitted"].count <= told.examples
    assert f"events in        {told.events:,}" in done.stdout
    assert told.verified.ok
    assert told.verified.customers == told.customers
    assert f"{told.customers} customers x {len(FEATURE_NAMES)} features recomputed in SQL: 0 mismatches" in done.stdout
    with duckdb.connect(told.snapshot, read_only=True) as snapshot:
        counted = snapshot.execute(
            "SELECT count(*) FROM scores_history UNION ALL SELECT count(label) FROM labels"
        ).fetchall()
    assert [(told.scores,), (told.examples,)] == counted


def test_good_figures_have_no_problems_and_read_well() -> None:
    """A clean run has nothing to complain about; the report names every part."""
    text = "\n".join(lines(figures()))

    assert problems(figures(), sent=100) == []
    for part in (
        "events in        100",
        "verify           4 customers x",
        "emitted",
        "anna",
        "days_since_order 40 days (+1.20)",
        "x.duckdb",
        "delivered 2",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"events": 99}, "1 of 100 events were not read"),
        ({"quarantined": {"empty": 50}}, "50 events were refused"),
        ({"examples": 0}, "nothing was learned"),
        ({"deliveries": {"delivered": 2, "refused": 1}}, "refused"),
        ({"webhook_received": 1}, "received by the webhook 1"),
        ({"deliveries": {}, "webhook_received": 0}, "the webhook heard of none"),
        ({"verified": verification(wrong={"state": {"clicks_1d": 3}})}, "3 mismatches"),
        ({"verified": verification(without_state=1)}, "1 customers without state"),
        ({"cutoffs": ({"cutoff": "2017-11-15", "auc": 0.5},)}, "AUC 0.5 at 2017-11-15"),
    ],
)
def test_every_failing_part_is_told(change: dict[str, Any], told: str) -> None:
    """Whatever went wrong without a crash is a problem, and makes the status non-zero."""
    found = problems(figures(**change), sent=100)

    assert any(told in problem for problem in found), found


def test_the_story_follows_the_options() -> None:
    """Options of the simulator do not go with the real data; each story sets its own churn definition."""
    assert isinstance(choose(arguments(customers=5, days=40)), Simulated)
    real = choose(arguments(real=True))
    assert isinstance(real, CompleteJourney)
    assert real.settings(Settings()).label.kind == "inactivity"
    with pytest.raises(UsageError, match="--customers, --seed: for the simulator only"):
        choose(arguments(real=True, customers=5, seed=1))
    with pytest.raises(UsageError):
        choose(arguments(days=0))
