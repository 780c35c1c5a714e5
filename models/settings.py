"""The one settings object: every knob of every role, typed, with its default and meaning.

The types live here so that all packages can share them; reading them from the environment and a TOML
file is `app.settings`. Each section is a frozen struct; what a field means is in `app.settings_help.HELP`,
what it allows is in its type. Durations carry their unit in the name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65_535)]
Count = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]

#: Dotted names of the settings whose value is never printed, logged or shown.
SECRETS = frozenset({"broker.sasl_password", "sync.webhook_secret"})
_SECRET_FIELDS = frozenset(name.rpartition(".")[2] for name in SECRETS)


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """The base of every section: its repr hides secrets, so no log or traceback can show one."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        pairs = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(name, "***" if name in _SECRET_FIELDS and value else value) for name, value in pairs]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class BrokerSettings(Section, frozen=True, kw_only=True):
    """How to reach Kafka, and how the topics are laid out."""

    bootstrap: str = ""
    client_id: str = "ebbtide"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str = ""
    sasl_password: str = ""
    topic_prefix: str = ""
    partitions: Count = 4
    replication: Count = 1
    create_topics: bool = True
    compression: Literal["none", "lz4", "gzip", "snappy", "zstd"] = "zstd"
    request_timeout_s: Positive = 40.0
    session_timeout_s: Positive = 30.0
    rebalance_timeout_s: Positive = 60.0
    delivery_timeout_s: Positive = 300.0
    idempotence: Literal["auto", "on", "off"] = "auto"


class EventSettings(Section, frozen=True, kw_only=True):
    """What the decoder accepts."""

    max_bytes: Count = 1_000_000
    max_depth: Count = 32
    earliest: str = "1990-01-01T00:00:00Z"
    max_future_s: NotNegative = 86_400.0
    max_late_s: NotNegative = 7_776_000.0


class WorkerSettings(Section, frozen=True, kw_only=True):
    """The feature worker."""

    app_id: str = "ebbtide"
    chunk_records: Count = 2000
    max_chunks_per_partition: Count = 4
    clock: Literal["wall", "event"] = "wall"
    align_idle_s: NotNegative = 1.0
    commit_interval_s: Positive = 1.0
    duplicate_window: Annotated[int, Meta(ge=0)] = 64
    tick_s: Positive = 1.0
    stall_after_s: Positive = 60.0
    exit_after_s: Positive = 300.0
    snapshot_every_s: NotNegative = 300.0
    evict_after_days: NotNegative = 180.0


class LabelSettings(Section, frozen=True, kw_only=True):
    """What churn means here, and which scored vectors become training examples."""

    kind: Literal["cancellation", "inactivity"] = "cancellation"
    horizon_days: Positive = 30.0
    other_horizons_days: tuple[Positive, ...] = ()
    gap_days: NotNegative = 0.0
    cancellation_events: tuple[str, ...] = ("Subscription Cancelled",)
    involuntary: Literal["exclude", "churn"] = "exclude"
    involuntary_causes: tuple[str, ...] = (
        "payment_failed", "failed_payment", "payment_failure", "non_payment", "nonpayment", "not_paid", "no_card",
        "unpaid", "dunning", "past_due", "card_declined", "card_expired", "involuntary",
    )  # fmt: skip
    activity_events: tuple[str, ...] = ("Order Completed",)
    active_within_days: Positive = 30.0
    snapshot_every_days: Positive = 7.0
    max_pending: Count = 14
    revise_within_days: NotNegative = 7.0


class ScoreSettings(Section, frozen=True, kw_only=True):
    """When a score is emitted and how it is banded."""

    min_change: Share = 0.02
    medium_from: Share = 0.15
    high_from: Share = 0.35
    critical_from: Share = 0.60
    likely_from: Share = 0.35
    rescore_every_s: Positive = 86_400.0
    refresh_every_s: Positive = 604_800.0
    top_reasons: Count = 5


class TrainerSettings(Section, frozen=True, kw_only=True):
    """The learner."""

    min_labels: Count = 200
    min_positives: Count = 50
    promotion: Literal["auto", "manual"] = "auto"
    promotion_error: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    takeover_error: Annotated[float, Meta(gt=0, lt=1)] = 0.2
    promotion_block: Count = 5
    candidates: tuple[str, ...] = ("products",)
    max_fresh: Annotated[int, Meta(ge=0)] = 1
    keep_versions: Annotated[int, Meta(ge=2, le=100)] = 10
    learning_rate: Positive = 0.002
    l2: NotNegative = 0.0
    publish_every_s: Positive = 1.0
    checkpoint_examples: Count = 2000
    max_waiting: Count = 200_000


class OfferSettings(Section, frozen=True, kw_only=True):
    """What a retention campaign costs and brings; money in one currency. The defaults are those of the literature."""

    contact_cost: NotNegative = 1.0
    offer_cost: NotNegative = 10.0
    acceptance: Share = 0.3
    customer_value: NotNegative = 200.0


class DriftSettings(Section, frozen=True, kw_only=True):
    """When a change of what is served, of the rate of leavers or of the loss is an alarm."""

    alarms_per_month: Positive = 0.5
    settle_days: Annotated[int, Meta(ge=0)] = 14
    reference_days: Count = 28
    window_days: Count = 7
    least_psi: NotNegative = 0.02
    start_challenger: bool = True


class EvaluationSettings(Section, frozen=True, kw_only=True):
    """What the emitted probabilities are measured on, besides all customers."""

    cohorts: tuple[str, ...] = ()


class SufficiencySettings(Section, frozen=True, kw_only=True):
    """What data sufficiency asks for."""

    labels: Count = 500
    positives: Count = 100
    negatives: Count = 100
    rarer_share: Share = 0.05
    horizons: Positive = 3.0
    event_types: Count = 5


class WarehouseSettings(Section, frozen=True, kw_only=True):
    """The DuckDB writer and its snapshots."""

    publish_every_s: Positive = 5.0
    keep_snapshots: Count = 3
    keep_history_days: NotNegative = 730.0
    keep_labels_days: NotNegative = 730.0
    keep_metrics_days: NotNegative = 1825.0
    batch_rows: Count = 5000


class SyncSettings(Section, frozen=True, kw_only=True):
    """The webhook destination, and what holds for every destination that does not say otherwise."""

    webhook_url: str = ""
    webhook_secret: str = ""
    webhook_allow_private: bool = False
    only_likely: bool = True
    concurrency: Count = 8
    timeout_s: Positive = 15.0
    retry_base_s: Positive = 1.0
    retry_cap_s: Positive = 300.0
    give_up_after_s: Positive = 259_200.0


class HttpSettings(Section, frozen=True, kw_only=True):
    """Where roles serve /metrics, /health and the console. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    console_port: Port = 8600
    worker_port: Port = 8601
    trainer_port: Port = 8602
    warehouse_port: Port = 8603
    sync_port: Port = 8604
    peers: tuple[str, ...] = ()


class Settings(Section, frozen=True, kw_only=True):
    """All settings of one deployment."""

    data_dir: str = "data"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    broker: BrokerSettings = BrokerSettings()
    events: EventSettings = EventSettings()
    worker: WorkerSettings = WorkerSettings()
    label: LabelSettings = LabelSettings()
    score: ScoreSettings = ScoreSettings()
    trainer: TrainerSettings = TrainerSettings()
    drift: DriftSettings = DriftSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    offer: OfferSettings = OfferSettings()
    sufficiency: SufficiencySettings = SufficiencySettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    sync: SyncSettings = SyncSettings()
    #: Name -> table; what a table may hold is declared by the destination of its `type`.
    destinations: dict[str, dict[str, Any]] = {}
    http: HttpSettings = HttpSettings()
