"""What `ebbtide up` and `ebbtide console` run in the foreground, until a signal."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress

from app import logs
from app.broker import MEMORY_ONLY, find_broker, own_broker
from app.console import serve_console
from app.errors import AppError
from app.output import Prefixed
from app.roles import loop_factory, stop_on_signals
from app.settings import summary
from app.up import ProcessGroup, role_group
from models.settings import Settings
from streams.embedded import EmbeddedBroker

log = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.5


def run_up(settings: Settings) -> int:
    """Run every role and the console page until a signal; returns the exit status.

    Raises
    ------
    AppError
        If a role can never run, or the embedded broker ended.
    """
    logs.configure(settings.log_level)
    log.info("starting", extra={"settings": summary(settings)})
    with own_broker(settings) as (connected, embedded), asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_supervise(connected, embedded))
    return 0


async def _supervise(settings: Settings, embedded: EmbeddedBroker | None) -> None:
    group = role_group(settings, Prefixed(sys.stderr))
    stop = stop_on_signals(last_act=group.kill)
    async with serve_console(settings, group) as url:
        _greet(settings, embedded, url)
        async with group:
            await _until(stop, group, embedded)
            print("stopping: worker, trainer, warehouse, sync", flush=True)


def _greet(settings: Settings, embedded: EmbeddedBroker | None, url: str) -> None:
    print(f"broker   {settings.broker.bootstrap}" + (f"  ({MEMORY_ONLY})" if embedded else ""))
    print(f"console  {url}")
    print(f"data     {settings.data_dir}", flush=True)


async def _until(stop: asyncio.Event, group: ProcessGroup, embedded: EmbeddedBroker | None) -> None:
    """Return when asked to stop; raise when going on is pointless."""
    told = 0
    while not stop.is_set():
        for failure in group.failures[told:]:
            log.warning("role ended", extra={"role": failure.role, "exit": failure.exit_code, "log": failure.detail})
        told = len(group.failures)
        fatal = group.fatal()
        if fatal is not None:
            raise AppError(f"{fatal.role} cannot run (exit status {fatal.exit_code}): {fatal.detail}")
        if embedded is not None and not embedded.running:
            raise AppError("the embedded broker ended, and its memory with it; start again")
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_EVERY_S):
                await stop.wait()


def run_console(settings: Settings) -> int:
    """Serve the console page alone until a signal; returns the exit status."""
    logs.configure(settings.log_level)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve_page(find_broker(settings) if not settings.http.peers else settings))
    return 0


async def _serve_page(settings: Settings) -> None:
    stop = stop_on_signals()
    async with serve_console(settings) as url:
        print(f"console  {url}", flush=True)
        await stop.wait()
