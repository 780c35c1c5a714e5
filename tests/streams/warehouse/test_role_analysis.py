"""The role measures and watches what it writes: in snapshots, on /metrics, and towards the trainer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import duckdb
import msgspec
import pytest

from models.churn.control import Control
from models.settings import BrokerSettings, DriftSettings, LabelSettings, Settings, WarehouseSettings
from streams.topics import EXAMPLES, LABELS, SCORES
from streams.warehouse.snapshot import newest
from tests.streams.warehouse.ledgers import FIRST, ledger
from tests.streams.warehouse.support import encode
from tests.streams.warehouse.test_analysis import END, served
from tests.streams.warehouse.test_role import read_all, running, send


def settings_for(broker: BrokerSettings, tmp_path: Path, *, start_challenger: bool) -> Settings:
    return Settings(
        broker=broker, data_dir=str(tmp_path), label=LabelSettings(horizon_days=7.0),
        warehouse=WarehouseSettings(publish_every_s=0.2),
        drift=DriftSettings(
            settle_days=0, reference_days=7, window_days=7, alarms_per_month=1.0, start_challenger=start_challenger
        ),
    )  # fmt: skip


def test_measures_reach_the_last_snapshot_and_the_metrics(broker: BrokerSettings, tmp_path: Path) -> None:
    """Labels that came are measured by the time of the stop at the latest, and shown by window and predictor."""

    async def scenario() -> bytes:
        lines = ledger(60, 8, END)
        await send(broker, LABELS, [(line.customer_id, encode(line)) for line in lines])
        async with running(settings_for(broker, tmp_path, start_challenger=True)) as role:
            await role.until(lambda: role.rows("labels") == len(lines))
        return role.telemetry.exposition()

    shown = asyncio.run(scenario()).decode()

    for name in ("quality_auc", "quality_log_loss", "quality_ece"):
        assert f'ebbtide_{name}{{cohort="all",horizon_days="7",predictor="emitted",window="30d"}}' in shown
    assert 'ebbtide_quality_estimated_auc{cohort="all",horizon_days="7",predictor="rule",window="7d"}' in shown
    assert 'ebbtide_reliability_rate{bin="0",horizon_days="7"}' in shown
    with duckdb.connect(str(newest(tmp_path)), read_only=True) as connection:
        found = connection.execute(
            "SELECT count(*) FROM model_metrics WHERE measure = 'auc' AND value IS NOT NULL"
        ).fetchall()
    assert found[0][0] > 0


@pytest.mark.parametrize("start_challenger", [True, False])
def test_a_drift_alarm_asks_the_trainer_for_a_challenger(
    broker: BrokerSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, start_challenger: bool
) -> None:
    """An alarm is logged, counted and, if settings say so, sent among the examples, once."""

    async def scenario() -> tuple[list[Control], float]:
        await send(broker, SCORES, [("c", raw) for raw in served(range(61), 50)])
        async with running(settings_for(broker, tmp_path, start_challenger=start_challenger)) as role:
            await role.until(lambda: role.rows() == 61 * 60)
        async with running(settings_for(broker, tmp_path, start_challenger=start_challenger)):
            pass
        alarms = role.telemetry.registry.get_sample_value("ebbtide_drift_alarms_total", {"feature": "tenure_days"})
        return [msgspec.json.decode(raw, type=Control) for raw in await read_all(broker, EXAMPLES)], alarms or 0.0

    controls, alarms = asyncio.run(scenario())

    assert alarms == 1
    assert "drift alarm: tenure_days is " in caplog.text
    assert [control.control for control in controls] == ["drift"] * start_challenger
    with duckdb.connect(str(newest(tmp_path)), read_only=True) as connection:
        days = connection.execute("SELECT (day - DATE '1970-01-01') FROM drift WHERE alarm").fetchall()
    assert [FIRST + 50 <= day <= FIRST + 56 for (day,) in days] == [True]
