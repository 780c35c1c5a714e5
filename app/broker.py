"""Which broker a command uses: the one in the settings, the embedded one it starts, or the one `up` started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from app import notes
from app.errors import AppError, NoBrokerError, UsageError
from models.settings import Settings
from streams.embedded import EmbeddedBroker, EmbeddedBrokerError, answers

#: The embedded broker lets a member wait half its session timeout at every join, but keeps one that is late.
_EMBEDDED_SESSION_S, _EMBEDDED_REBALANCE_S = 2.0, 10.0

MEMORY_ONLY = "embedded broker in memory: everything on it is gone when this command stops (set EBBTIDE_BROKER to keep)"


@contextmanager
def own_broker(settings: Settings) -> Iterator[tuple[Settings, EmbeddedBroker | None]]:
    """The settings with a broker for the length of the block: the one named, or an embedded one, noted for others.

    Raises
    ------
    UsageError
        If another process already runs an embedded broker with this data directory.
    AppError
        If the embedded broker does not start.
    """
    if settings.broker.bootstrap:
        yield settings, None
        return
    running = notes.running_broker(settings)
    if running is not None:
        raise UsageError(
            f"data_dir {settings.data_dir!r} is in use: process {running.pid} runs the embedded broker "
            f"{running.bootstrap}; allowed: stop it, or take another EBBTIDE_DATA_DIR"
        )
    try:
        embedded = EmbeddedBroker(log_path=_log_path(settings))
    except EmbeddedBrokerError as error:
        raise AppError(str(error)) from None
    with embedded, notes.left(notes.broker_path(settings), notes.BrokerNote(embedded.bootstrap, os.getpid())):
        yield with_embedded(settings, embedded.bootstrap), embedded


def find_broker(settings: Settings) -> Settings:
    """The settings with the broker that is named, or that a running `ebbtide up` embeds.

    Raises
    ------
    NoBrokerError
        If there is neither.
    """
    if settings.broker.bootstrap:
        return settings
    running = notes.running_broker(settings)
    if running is None:
        raise NoBrokerError(
            f"no broker: set EBBTIDE_BROKER or start `ebbtide up` (looked for {str(notes.broker_path(settings))!r})"
        )
    if not answers(running.bootstrap):
        raise NoBrokerError(
            f"no broker: process {running.pid} noted the embedded broker {running.bootstrap}, which does not answer; "
            "set EBBTIDE_BROKER or restart `ebbtide up`"
        )
    return with_embedded(settings, running.bootstrap)


def with_embedded(settings: Settings, bootstrap: str) -> Settings:
    """The settings for an embedded broker: its address, one replica, and short group times."""
    broker = msgspec.structs.replace(
        settings.broker,
        bootstrap=bootstrap,
        replication=1,
        session_timeout_s=min(settings.broker.session_timeout_s, _EMBEDDED_SESSION_S),
        rebalance_timeout_s=min(settings.broker.rebalance_timeout_s, _EMBEDDED_REBALANCE_S),
    )
    return msgspec.structs.replace(settings, broker=broker)


def _log_path(settings: Settings) -> Path:
    path = Path(settings.data_dir) / "logs" / "broker.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise AppError(f"cannot create {str(path.parent)!r} (data_dir): {reason}") from None
    return path
