"""The figures of a demo run, computed from the published snapshot and the receiver alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt

from app.demo.scenario import Scenario
from app.errors import AppError
from models.evaluation import auc, average_precision, ece, log_loss
from streams.verify import Report, lines
from streams.warehouse.query import score_as_of

Doubles = npt.NDArray[np.float64]

#: What emitted probabilities must reach at every cut-off of real data; days since the last basket alone reach .829.
_LEAST_AUC = 0.84

#: Only predictions whose horizon has passed: of younger ones just the leavers are known yet.
_LABELS = """
SELECT customer_id, epoch(as_of) AS as_of, label, probability, rule_probability, prior_probability, model_name
FROM labels WHERE label IS NOT NULL AND due_at <= (SELECT max(known_at) FROM labels)
    AND horizon_days = (SELECT any_value(horizon_days) FROM scores)
ORDER BY as_of, customer_id"""

#: What any reader does: plain duckdb, another process, while the writer runs.
_OTHER_PROCESS = (
    "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); "
    "print(c.execute('SELECT count(*) FROM likely_to_churn').fetchone()[0])"
)


class Quality(msgspec.Struct, frozen=True):
    """How good probabilities were against the truth, over `count` predictions; AUC is None with one class only."""

    count: int
    positives: int
    auc: float | None
    average_precision: float | None
    log_loss: float
    ece: float


class Judged(msgspec.Struct, frozen=True):
    """Several predictors over the same predictions. `name` says which predictions these are."""

    name: str
    predictors: dict[str, Quality]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the demo prints; `--json` writes it as it is."""

    scenario: str
    events: int
    seconds: float
    events_per_s: float
    customers: int
    scores: int
    examples: int
    quarantined: dict[str, int]
    judged: tuple[Judged, ...]
    cutoffs: tuple[dict[str, Any], ...]
    at_risk: tuple[dict[str, Any], ...]
    likely_to_churn: int
    snapshot: str
    deliveries: dict[str, int]
    webhook_received: int
    console: str
    verified: Report


def quality(labels: npt.NDArray[Any], probabilities: Doubles) -> Quality:
    """The measures of one predictor."""
    both = 0 < labels.sum() < len(labels)
    return Quality(
        len(labels),
        int(labels.sum()),
        round(auc(labels, probabilities), 4) if both else None,
        round(average_precision(labels, probabilities), 4) if both else None,
        round(log_loss(labels, probabilities), 4),
        round(ece(labels, probabilities), 4),
    )


def judge(path: Path, scenario: Scenario) -> tuple[Judged, ...]:
    """Emitted probabilities against rule, prior and the best possible: over all, and since the model took over."""
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute(_LABELS).fetchnumpy()
    if not len(rows["label"]):
        return ()
    best = scenario.best(rows["customer_id"].tolist(), rows["as_of"].tolist())
    known = np.ones(len(rows["label"]), dtype=bool)
    for probabilities in best.values():
        known &= np.isfinite(probabilities)
    learned = known & (rows["model_name"] != "rule")
    return tuple(
        Judged(name, _predictors(rows, best, chosen))
        for name, chosen in (
            ("all predictions whose horizon has passed", known),
            ("those of the learned model", learned),
        )
        if chosen.any()
    )


def _predictors(rows: dict[str, Any], best: dict[str, Doubles], chosen: npt.NDArray[np.bool_]) -> dict[str, Quality]:
    columns: dict[str, Doubles] = {
        "emitted": rows["probability"],
        "rule": rows["rule_probability"],
        "prior": rows["prior_probability"],
    } | best
    labels = np.asarray(rows["label"])[chosen]
    return {name: quality(labels, np.asarray(column, dtype=float)[chosen]) for name, column in columns.items()}


def at_cutoffs(path: Path, scenario: Scenario) -> tuple[dict[str, Any], ...]:
    """The newest emitted probability of every customer in the truth, judged at each cut-off."""
    return tuple(_at_cutoff(path, scenario, cutoff) for cutoff in scenario.cutoffs())


def _at_cutoff(path: Path, scenario: Scenario, cutoff: datetime) -> dict[str, Any]:
    emitted, truth = score_as_of(path, cutoff.timestamp()), scenario.left_after(cutoff)
    scored = [customer for customer in truth if customer in emitted]
    labels = np.array([truth[customer] for customer in scored], dtype=int)
    judged = quality(labels, np.array([emitted[customer] for customer in scored]))
    measures: dict[str, Any] = msgspec.to_builtins(judged)
    return {"cutoff": cutoff.date().isoformat(), "unscored": len(truth) - len(scored)} | measures


def count_from_outside(path: Path) -> int:
    """Count `likely_to_churn` from another process with plain duckdb. Raises AppError if it cannot."""
    done = subprocess.run(  # noqa: S603 - this interpreter, our own program
        [sys.executable, "-c", _OTHER_PROCESS, str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        msg = f"another process cannot read {str(path)!r}: {done.stderr.strip().splitlines()[-1:]}"
        raise AppError(msg)
    return int(done.stdout)


def problems(figures: Figures, sent: int) -> Sequence[str]:
    """What went wrong although nothing crashed; empty if all is well."""
    found = []
    refused = sum(figures.quarantined.values())
    if figures.events != sent:
        found.append(f"{sent - figures.events:,} of {sent:,} events were not read")
    if refused > max(20, sent // 100):
        found.append(f"{refused:,} events were refused: {figures.quarantined}")
    poor = [row for row in figures.cutoffs if row["auc"] is None or row["auc"] < _LEAST_AUC]
    found += [f"AUC {row['auc']} at {row['cutoff']}, expected: {_LEAST_AUC} or more" for row in poor]
    if not figures.scores or not figures.examples:
        found.append(f"{figures.scores:,} scores and {figures.examples:,} matured examples: nothing was learned")
    if not figures.verified.ok:
        found += lines(figures.verified)
    failed = {name: n for name, n in figures.deliveries.items() if name not in {"delivered", "superseded"} and n}
    if failed or figures.webhook_received < figures.deliveries.get("delivered", 0):
        found.append(f"deliveries {figures.deliveries}, received by the webhook {figures.webhook_received:,}")
    if figures.likely_to_churn and not figures.webhook_received:
        found.append("customers are likely to churn and the webhook heard of none")
    return found
