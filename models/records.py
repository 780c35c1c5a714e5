"""The records that roles exchange over internal and public topics, as typed structs (JSON on the wire)."""

from __future__ import annotations

import msgspec


class Reason(msgspec.Struct, frozen=True):
    """One reason for a score: `contribution` is in log-odds against the average customer."""

    rank: int
    feature: str
    value: float | None
    contribution: float


class ModelRef(msgspec.Struct, frozen=True):
    """Which model made a probability. `name` is `rule`, `prior` or a learned model's name."""

    name: str
    version: str


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """One score, the value of a record on topic `scores` (key: customer id). Times are ISO-8601 UTC.

    `eligible` is False once the customer has left or is not in the cohort that the label speaks of; the band is
    then `left` and `likelihood_to_churn` False. `source_offsets` maps `topic/partition` to the last offset
    that is part of the score. `features` is the vector as served.
    """

    schema_version: int = 1
    score_id: str
    customer_id: str
    probability: float
    band: str
    likelihood_to_churn: bool
    eligible: bool
    percentile: float
    horizon_days: float
    label_kind: str
    reasons: tuple[Reason, ...]
    model: ModelRef
    feature_version: str
    source_offsets: dict[str, int]
    as_of: str
    event_watermark: str
    scored_at: str
    revision: int
    features: dict[str, float | None]


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A matured prediction on topic `examples`: the vector as served, what was emitted, and the truth.

    `features` is in registry order, null where unknown. `probability`, `rule_probability` and
    `prior_probability` were computed when the vector was scored. Times are epoch seconds.
    """

    example_id: str
    customer_id: str
    as_of: float
    matured_at: float
    horizon_days: float
    label: int
    probability: float
    rule_probability: float
    prior_probability: float
    model: ModelRef
    feature_version: str
    features: tuple[float | None, ...]
