"""A score to show what a destination would be sent, without a broker or a customer."""

from __future__ import annotations

from models.records import ModelRef, Reason, Score

EXAMPLE = Score(
    score_id="example-1",
    customer_id="ada@example.com",
    probability=0.62,
    band="high",
    likelihood_to_churn=True,
    eligible=True,
    percentile=93.0,
    horizon_days=30.0,
    label_kind="cancellation",
    reasons=(Reason(1, "days_since_order", 40.0, 1.2, 9.0, "no order for 40 days"),),
    model=ModelRef("rule", "example"),
    feature_version="example",
    source_offsets={"purchases/0": 17},
    as_of="2026-03-01T10:00:00Z",
    event_watermark="2026-03-01T10:00:00Z",
    scored_at="2026-03-01T10:00:01Z",
    revision=1,
    features={},
)
