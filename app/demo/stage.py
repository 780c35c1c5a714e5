"""Everything that the demo needs on one machine, up for the length of a block."""

from __future__ import annotations

import base64
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from app.console import serve_console
from app.errors import AppError
from app.output import ToFiles
from app.probe import Answer, ask_all
from app.up import ProcessGroup, role_group, wait_ready
from models.settings import HttpSettings, Settings, SyncSettings, TrainerSettings, WarehouseSettings
from streams.sync.receiver import WebhookReceiver

_READY_WITHIN_S = 60.0


class Stage:
    """The running parts: settings as used, roles, webhook receiver, address of the console."""

    def __init__(self, settings: Settings, group: ProcessGroup, receiver: WebhookReceiver, console: str) -> None:
        self.settings = settings
        self.group = group
        self.receiver = receiver
        self.console = console

    async def statuses(self) -> dict[str, Answer]:
        """What every role says of itself. Raises AppError as soon as one has ended."""
        if self.group.failures:
            failure = self.group.failures[0]
            msg = f"{failure.role} ended with status {failure.exit_code}: {failure.detail}"
            raise AppError(msg)
        return {answer.role: answer for answer in await ask_all(self.settings)}


def demo_settings(settings: Settings) -> Settings:
    """The settings of one demo run: a folder and topics of its own, event time, free ports, quick publishing."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    replace = msgspec.structs.replace
    prefix = settings.broker.topic_prefix or f"demo-{stamp}-"
    return replace(
        settings,
        data_dir=str(Path(settings.data_dir) / f"demo-{stamp}"),
        broker=replace(settings.broker, topic_prefix=prefix, create_topics=True),
        worker=replace(settings.worker, clock="event"),
        trainer=replace(settings.trainer, publish_every_s=min(settings.trainer.publish_every_s, 0.5))
        if settings.trainer == TrainerSettings()
        else settings.trainer,
        warehouse=WarehouseSettings(publish_every_s=3.0),
        http=HttpSettings(
            host="127.0.0.1", console_port=_free_or_any(settings.http.console_port),
            worker_port=0, trainer_port=0, warehouse_port=0, sync_port=0,
        ),
    )  # fmt: skip


def _free_or_any(port: int) -> int:
    """The port if nobody listens there, else 0: a second demo takes another one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


@asynccontextmanager
async def staged(settings: Settings) -> AsyncIterator[Stage]:
    """Receiver, console and all roles, ready to work; drained and gone at the end.

    Raises
    ------
    AppError
        A role cannot run or is not ready in time.
    """
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    async with WebhookReceiver(secret, keep=100_000) as receiver:
        sync = SyncSettings(
            webhook_url=receiver.url, webhook_secret=secret, webhook_allow_private=True, retry_base_s=0.2
        )
        settings = msgspec.structs.replace(settings, sync=sync)
        group = role_group(settings, ToFiles(Path(settings.data_dir) / "logs"))
        async with serve_console(settings, group) as console, group:
            await wait_ready(group, settings, _READY_WITHIN_S)
            yield Stage(settings, group, receiver, console)
