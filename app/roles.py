"""One role's process: logging, HTTP server, topics, then the role until a signal.

1. The HTTP server answers first, so that an operator sees a role that waits for its broker.
2. The topics are created or checked; a broker that is not there yet is waited for.
3. The role runs. SIGTERM or SIGINT asks it to drain; a second one ends the process at once, as does the watchdog
   when the role no longer moves.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import signal
from collections.abc import Callable
from typing import Protocol, cast

from app import logs, notes
from app.errors import AppError, UsageError
from app.http import role_app, serve
from app.settings import summary
from app.watchdog import Watchdog
from models.settings import BrokerSettings, Settings
from streams.telemetry import Telemetry
from streams.topic_checks import check_topics
from streams.topics import TopicsUnavailable, create_topics

log = logging.getLogger(__name__)

#: Every role and the class that is it. The order is that of an event's way, so it is the order of draining.
ROLES: dict[str, str] = {
    "worker": "streams.worker:Worker",
    "trainer": "streams.trainer:Trainer",
    "warehouse": "streams.warehouse.role:Warehouse",
    "sync": "streams.sync.role:Sync",
}
_FIRST_RETRY_S, _LAST_RETRY_S = 0.2, 5.0


class Role(Protocol):
    """What runs: until `stop` is set, then it drains and returns; it raises what it cannot recover from."""

    async def run(self, stop: asyncio.Event) -> None: ...


def run_role(name: str, settings: Settings, roles: dict[str, str] | None = None) -> int:
    """Run one role in this process until a signal; returns the exit status, 0 after a clean drain."""
    logs.configure(settings.log_level)
    log.info("role starting", extra={"role": name, "pid": os.getpid(), "settings": summary(settings)})
    target = (roles or ROLES)[name]
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        try:
            runner.run(_serve_role(name, target, settings))
        except AppError as error:
            log.error("role failed", extra={"role": name, "reason": str(error)})
            return error.exit_code
        except Exception:  # the process boundary: whatever a role raises ends it, in the log and the status
            log.exception("role failed", extra={"role": name})
            return 1
    log.info("role stopped", extra={"role": name})
    return 0


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop of uvloop where it is installed, else Python's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve_role(name: str, target: str, settings: Settings) -> None:
    stop = stop_on_signals()
    limits = settings.worker
    telemetry = Telemetry(name, stall_after_s=limits.stall_after_s, exit_after_s=limits.exit_after_s)
    built: list[Role] = []
    web = role_app(telemetry, lambda: built[0] if built else None)
    setting = f"{name}_port"
    async with serve(web, settings.http.host, getattr(settings.http, setting), f"http.{setting}") as url:
        notes.forget_dead(settings, name)
        note = notes.left(notes.role_path(settings, name), notes.RoleNote(name, os.getpid(), url))
        with note, Watchdog(telemetry, limits.exit_after_s):
            log.info("serving http", extra={"role": name, "url": url})
            if not await _prepare_topics(settings.broker, stop):
                return
            built.append(build(target, settings, telemetry))
            _calm_the_collector()
            await built[0].run(stop)
            if not stop.is_set():
                raise AppError(f"{name} ended without being asked to")


def _calm_the_collector() -> None:
    """Collect cycles less often: records and events die by reference count, and looking among them costs a tenth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def build(target: str, settings: Settings, telemetry: Telemetry) -> Role:
    """The role's object from its import path, `package.module:Class`."""
    module, _, attribute = target.partition(":")
    return cast("Role", getattr(importlib.import_module(module), attribute)(settings, telemetry))


def stop_on_signals(last_act: Callable[[], None] = lambda: None) -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets; the second does `last_act` and ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_set():
            log.warning("second signal, ending at once")
            last_act()
            os._exit(128 + number)
        log.info("stopping", extra={"signal": signal.Signals(number).name})
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop


async def _prepare_topics(broker: BrokerSettings, stop: asyncio.Event) -> bool:
    """Create or check the topics, waiting for the broker; False if the stop came first."""
    delay_s, waited_s = _FIRST_RETRY_S, 0.0
    while not stop.is_set():
        try:
            if broker.create_topics:
                created = await create_topics(broker)
                log.info("topics ready", extra={"new": ",".join(created) or "none"})
            await _report_topics(broker)
            return True
        except TopicsUnavailable as error:
            if waited_s >= broker.request_timeout_s:
                raise AppError(f"{error}; gave up after {waited_s:.0f} s (broker.request_timeout_s)") from None
            log.warning("broker not ready", extra={"reason": str(error), "retry_s": delay_s})
        await _wait(stop, delay_s)
        waited_s, delay_s = waited_s + delay_s, min(2 * delay_s, _LAST_RETRY_S)
    return False


async def _report_topics(broker: BrokerSettings) -> None:
    """Refuse topics that lose, misplace or reject data; tell the other differences."""
    found = await check_topics(broker)
    wrong = [one.text for one in found if one.harmful and not one.missing]
    if wrong:
        # Not to be started again and again: only an operator, or other settings, can help.
        raise UsageError("; ".join(wrong))
    missing = [one.text for one in found if one.missing]
    if missing:
        raise AppError("; ".join(missing))
    for one in found:
        log.warning("topic differs from the settings", extra={"problem": one.text})


async def _wait(stop: asyncio.Event, delay_s: float) -> None:
    try:
        async with asyncio.timeout(delay_s):
            await stop.wait()
    except TimeoutError:
        pass
