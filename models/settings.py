"""The one settings object: every knob of every role, typed, with its default and meaning.

The types live here so that all packages can share them; reading them from the environment and a TOML
file is `app.settings`. Each section is a frozen struct; the string next to a field in `HELP` is what
`ebbtide settings` prints. Durations carry their unit in the name.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach Kafka, and how the topics are laid out."""

    bootstrap: str = ""
    client_id: str = "ebbtide"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str = ""
    sasl_password: str = ""
    topic_prefix: str = ""
    partitions: int = 4
    replication: int = 1
    compression: Literal["none", "lz4", "gzip", "snappy", "zstd"] = "lz4"
    request_timeout_s: float = 40.0
    session_timeout_s: float = 30.0
    rebalance_timeout_s: float = 60.0


class EventSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the decoder accepts."""

    max_bytes: int = 1_000_000
    max_depth: int = 32
    earliest: str = "1990-01-01T00:00:00Z"
    max_future_s: float = 86_400.0


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The feature worker."""

    app_id: str = "ebbtide"
    chunk_records: int = 1000
    max_chunks_per_partition: int = 4
    clock: Literal["wall", "event"] = "wall"
    align_idle_s: float = 1.0
    commit_interval_s: float = 1.0
    duplicate_window: int = 64
    tick_s: float = 1.0
    stall_after_s: float = 60.0


class LabelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What churn means here, and which scored vectors become training examples."""

    kind: Literal["cancellation", "inactivity"] = "cancellation"
    horizon_days: float = 30.0
    cancellation_events: tuple[str, ...] = ("Subscription Cancelled",)
    activity_events: tuple[str, ...] = ("Order Completed",)
    active_within_days: float = 30.0
    snapshot_every_days: float = 7.0
    max_pending: int = 8


class ScoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When a score is emitted and how it is banded."""

    min_change: float = 0.02
    medium_from: float = 0.15
    high_from: float = 0.35
    critical_from: float = 0.60
    likely_from: float = 0.35
    rescore_every_s: float = 86_400.0
    top_reasons: int = 5


class TrainerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The learner."""

    min_labels: int = 200
    min_positives: int = 30
    learning_rate: float = 0.01
    l2: float = 0.0001
    publish_every_s: float = 1.0
    checkpoint_examples: int = 2000


class WarehouseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The DuckDB writer and its snapshots."""

    publish_every_s: float = 5.0
    keep_snapshots: int = 3
    batch_rows: int = 5000


class SyncSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The webhook destination."""

    webhook_url: str = ""
    webhook_secret: str = ""
    webhook_allow_private: bool = False
    only_likely: bool = True
    concurrency: int = 8
    timeout_s: float = 15.0
    retry_base_s: float = 1.0
    retry_cap_s: float = 300.0
    give_up_after_s: float = 259_200.0


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where roles serve /metrics, /health and the console. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    console_port: int = 8600
    worker_port: int = 8601
    trainer_port: int = 8602
    warehouse_port: int = 8603
    sync_port: int = 8604


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one deployment."""

    data_dir: str = "data"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    broker: BrokerSettings = BrokerSettings()
    events: EventSettings = EventSettings()
    worker: WorkerSettings = WorkerSettings()
    label: LabelSettings = LabelSettings()
    score: ScoreSettings = ScoreSettings()
    trainer: TrainerSettings = TrainerSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    sync: SyncSettings = SyncSettings()
    http: HttpSettings = HttpSettings()


#: Dotted names of the settings whose value is never printed, logged or shown.
SECRETS = frozenset({"broker.sasl_password", "sync.webhook_secret"})
