"""A real snapshot with a few scores, for what reads snapshots."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from models.records import ModelRef, Reason, Score
from models.settings import Settings
from streams.warehouse.decode import Decoder
from streams.warehouse.snapshot import Publisher, Snapshot, live_path, snapshots_dir
from streams.warehouse.writer import Batch, WarehouseWriter

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def score(customer_id: str, probability: float, revision: int = 1, *, band: str = "high") -> Score:
    """One score; the band `left` means not eligible."""
    return Score(
        score_id=f"{customer_id}:{revision}",
        customer_id=customer_id,
        probability=probability,
        band=band,
        likelihood_to_churn=band in ("high", "critical"),
        eligible=band != "left",
        percentile=75.0,
        horizon_days=30.0,
        label_kind="cancellation",
        reasons=(
            Reason(
                rank=1,
                feature="days_since_order",
                value=41.25,
                contribution=0.8,
                typical=12.0,
                text="no order for 41 days (typical: 12 days)",
            ),
            Reason(rank=2, feature="spend_30d", value=None, contribution=-0.25),
        ),
        model=ModelRef(name="logistic", version="v7"),
        feature_version="f1",
        source_offsets={"purchases/0": 12},
        as_of=f"2026-01-0{revision}T00:00:00Z",
        event_watermark=f"2026-01-0{revision}T00:00:00Z",
        scored_at=f"2026-01-0{revision}T00:00:01Z",
        revision=revision,
        features={"days_since_order": 41.25, "orders_30d": 1.0, "spend_30d": None},
    )


def publish(settings: Settings, scores: list[Score]) -> Snapshot:
    """Write `scores` as the warehouse does, and publish."""
    writer = WarehouseWriter(live_path(settings.data_dir))
    try:
        decoder = Decoder(writer.features)
        writer.apply(Batch(scores=[decoder.score(msgspec.json.encode(one), 0) for one in scores]))
        return Publisher(writer, snapshots_dir(settings.data_dir), 3).publish(CREATED)
    finally:
        writer.close()
