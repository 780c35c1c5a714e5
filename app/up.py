"""The supervisor: every role as a process of its own, restarted when it crashes, drained in order at the end.

Start order is the order of an event's way and so is the stop order: the worker drains first, so that what it
still writes is consumed by the trainer, the warehouse and the sync before they stop. Each child leads a
session of its own, out of reach of the terminal's Ctrl-C, so that it is the supervisor that decides the
order. A supervisor that is killed takes its children with it: see `app.lifeline`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import msgspec

from app.errors import AppError, UsageError
from app.output import Output
from app.probe import ask_all
from app.roles import ROLES
from app.settings import PREFIX, to_env
from models.settings import Settings

_ROOT = Path(__file__).resolve().parent.parent
_POLL_S = 0.1


class Backoff(msgspec.Struct, frozen=True):
    """Seconds before a crashed child starts again: doubled from crash to crash, forgotten after a steady time."""

    first_s: float = 0.5
    most_s: float = 30.0
    steady_s: float = 60.0

    def delay_s(self, crashes: int) -> float:
        """The wait after `crashes` crashes in a row (at least 1)."""
        return min(self.most_s, self.first_s * 2.0 ** min(crashes - 1, 32))


class Failure(msgspec.Struct, frozen=True):
    """A child that ended without being asked. `detail` is the end of its log; a fatal one is not started again."""

    role: str
    exit_code: int
    uptime_s: float
    fatal: bool
    detail: str


class _Child:
    """One supervised process and what is known about it."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self.command = command
        self.state = "stopped"
        self.process: asyncio.subprocess.Process | None = None
        self.started = 0.0
        self.starts = 0
        self.stopping = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def send(self, number: int) -> None:
        """Signal the child and whatever it started."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)


class ProcessGroup:
    """Named child processes that are kept running until `stop`.

    Parameters
    ----------
    commands
        What to run, by name, in start and stop order.
    env
        The children's whole environment.
    output
        Where they write.
    backoff
        The wait before a restart.
    drain_s
        Seconds that each child has to end after SIGTERM before it is killed.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        env: Mapping[str, str],
        output: Output,
        *,
        backoff: Backoff | None = None,
        drain_s: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures: list[Failure] = []
        self._children = {name: _Child(name, command) for name, command in commands.items()}
        self._env = dict(env)
        self._output = output
        self._backoff = backoff or Backoff()
        self._drain_s = drain_s
        self._clock = clock

    async def start(self, names: Iterable[str] | None = None) -> None:
        """Start the named children, or all; those that run stay as they are."""
        for name in self._children if names is None else names:
            child = self._children[name]
            if child.task is None or child.task.done():
                child.stopping.clear()
                child.task = asyncio.create_task(self._keep_running(child), name=f"supervise {name}")
        await asyncio.sleep(0)

    async def stop(self, names: Iterable[str] | None = None) -> None:
        """Drain the named children, or all, one after the other in start order; whoever takes too long is killed."""
        for name in self._children if names is None else names:
            await self._stop_child(self._children[name])

    def kill(self, number: int = signal.SIGKILL, names: Iterable[str] | None = None) -> None:
        """Send a signal to the named children, or all, and to what they started. Who dies of it is restarted."""
        for name in self._children if names is None else names:
            self._children[name].send(number)

    def status(self, name: str) -> dict[str, Any]:
        """One child's state (running, waiting, failed, stopped), process id, restarts and log path."""
        child = self._children[name]
        running = child.state == "running" and child.process is not None
        return {
            "state": child.state,
            "pid": child.process.pid if running and child.process else None,
            "restarts": max(0, child.starts - 1),
            "uptime_s": round(self._clock() - child.started, 1) if running else 0.0,
            "log": self._output.location(name),
        }

    def tail(self, name: str) -> str:
        """The last lines that a child wrote, in one line."""
        return self._output.tail(name)

    def fatal(self) -> Failure | None:
        """The first failure that no restart can mend. Raises what ended a supervising task itself."""
        for child in self._children.values():
            if child.task is not None and child.task.done() and not child.task.cancelled():
                child.task.result()
        return next((failure for failure in self.failures if failure.fatal), None)

    @property
    def names(self) -> tuple[str, ...]:
        """The children in start order."""
        return tuple(self._children)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def _keep_running(self, child: _Child) -> None:
        crashes = 0
        try:
            while not child.stopping.is_set():
                code = await self._run_once(child)
                if child.stopping.is_set():
                    break
                failure = self._record(child, code)
                if failure.fatal:
                    child.state = "failed"
                    return
                crashes = 1 if failure.uptime_s >= self._backoff.steady_s else crashes + 1
                child.state = "waiting"
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._backoff.delay_s(crashes)):
                        await child.stopping.wait()
            child.state = "stopped"
        finally:
            child.send(signal.SIGKILL)  # what a child left behind, or the child itself if this task was cancelled

    async def _run_once(self, child: _Child) -> int:
        target = self._output.open(child.name)
        try:
            child.process = await asyncio.create_subprocess_exec(
                *child.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=target,
                stderr=asyncio.subprocess.STDOUT,
                env=self._env,
                start_new_session=True,
            )
        finally:
            if not isinstance(target, int):
                target.close()
        child.state, child.started, child.starts = "running", self._clock(), child.starts + 1
        if child.stopping.is_set():
            child.send(signal.SIGTERM)
        follower = asyncio.create_task(self._follow(child.name, child.process.stdout))
        code = await child.process.wait()
        child.send(signal.SIGKILL)
        await follower
        return code

    async def _follow(self, name: str, stream: asyncio.StreamReader | None) -> None:
        if stream is not None:
            await self._output.follow(name, stream)

    def _record(self, child: _Child, code: int) -> Failure:
        uptime_s, detail = self._clock() - child.started, self._output.tail(child.name)
        failure = Failure(child.name, code, uptime_s, code == UsageError.exit_code, detail)
        self.failures.append(failure)
        return failure

    async def _stop_child(self, child: _Child) -> None:
        child.stopping.set()
        if child.task is None:
            return
        if child.state == "running" and child.process is not None:
            with suppress(ProcessLookupError):
                child.process.terminate()
        _, late = await asyncio.wait({child.task}, timeout=self._drain_s)
        if late:
            child.send(signal.SIGKILL)
        await child.task


def role_group(settings: Settings, output: Output, *, backoff: Backoff | None = None) -> ProcessGroup:
    """Every role of one deployment on this machine, each with exactly these settings.

    `settings.broker.bootstrap` must name a broker; see `app.broker`.
    """
    commands = {role: (sys.executable, "-m", "app.cli", role, "--supervised") for role in ROLES}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    path = os.pathsep.join(filter(None, [str(_ROOT), kept.get("PYTHONPATH")]))
    return ProcessGroup(commands, kept | to_env(settings) | {"PYTHONPATH": path}, output, backoff=backoff)


async def wait_ready(group: ProcessGroup, settings: Settings, timeout_s: float) -> None:
    """Return once every role of the group answers that it is ready.

    Raises
    ------
    AppError
        If a role failed for good, or not all were ready in time; with each one's reason.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        fatal = group.fatal()
        if fatal is not None:
            raise AppError(f"{fatal.role} cannot run (exit status {fatal.exit_code}): {fatal.detail}")
        answers = {answer.role: answer for answer in await ask_all(settings)}
        waiting = {name: answers[name].reason for name in group.names if not answers[name].ready}
        if not waiting:
            return
        if time.monotonic() >= deadline:
            reasons = "; ".join(f"{name}: {reason} {group.tail(name)}".strip() for name, reason in waiting.items())
            raise AppError(f"not ready after {timeout_s:.0f} s: {reasons}")
        await asyncio.sleep(_POLL_S)
