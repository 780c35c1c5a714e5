"""The records that roles exchange over internal and public topics, as typed structs (JSON on the wire)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Probability = Annotated[float, Meta(ge=0, le=1)]
#: A count that fits the 64-bit integers of Kafka and of every warehouse.
Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
#: A Kafka offset; -1 stands for nothing read yet.
Offset = Annotated[int, Meta(ge=-1, le=2**63 - 1)]
#: Seconds since 1970 within the years 1 to 9999.
EpochSeconds = Annotated[float, Meta(ge=-62_135_596_800, le=253_402_300_799)]
Id = Annotated[str, Meta(min_length=1)]


class Reason(msgspec.Struct, frozen=True):
    """One reason for a score: `contribution` is in log-odds against the average customer."""

    rank: Natural
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
    score_id: Id
    customer_id: Id
    probability: Probability
    band: str
    likelihood_to_churn: bool
    eligible: bool
    percentile: float
    horizon_days: float
    label_kind: str
    reasons: tuple[Reason, ...]
    model: ModelRef
    feature_version: str
    source_offsets: dict[str, Offset]
    as_of: str
    event_watermark: str
    scored_at: str
    revision: Natural
    features: dict[str, float | None]


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A matured prediction on topic `examples`: the vector as served, what was emitted, and the truth.

    `features` is in registry order, null where unknown. `probability`, `rule_probability` and
    `prior_probability` were computed when the vector was scored. Times are epoch seconds.
    """

    example_id: Id
    customer_id: Id
    as_of: EpochSeconds
    matured_at: EpochSeconds
    horizon_days: float
    label: Annotated[int, Meta(ge=0, le=1)]
    probability: Probability
    rule_probability: Probability
    prior_probability: Probability
    model: ModelRef
    feature_version: str
    features: tuple[float | None, ...]
