"""The processes of a chaos run: killed, stopped and restarted at will, and watched for ends that nobody asked for."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from app.errors import AppError
from app.output import ToFiles
from app.settings import PREFIX, to_env
from models.settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
_DRAINED_WITHIN_S = 60.0
_RESTART_AFTER_S = 0.5
_LOG_BYTES, _DETAIL_CHARS = 262_144, 400
#: How a role says why it fails, and that it ends itself on purpose, to be started again by its supervisor.
_SAYS_WHY: Final = re.compile(r"ERROR \S+: \w+ fails: (.*?)(?: \| |\n)|ERROR app.roles: role failed (.*)")
_ON_PURPOSE: Final = re.compile(r"StoodStill\(|OwnershipLost\(|watchdog")


class Exit(msgspec.Struct, frozen=True):
    """A process that ended though nobody asked it to. `on_purpose` ends are documented ones."""

    name: str
    code: int
    on_purpose: bool
    detail: str

    def __str__(self) -> str:
        return f"{self.name} ended by itself with status {self.code}: {self.detail}"


class _Member:
    """One name of the fleet, and the process that has it now."""

    def __init__(self, name: str, role: str) -> None:
        self.name = name
        self.role = role
        self.process: asyncio.subprocess.Process | None = None
        self.watch: asyncio.Task[None] | None = None
        self.expected = True
        self.busy = asyncio.Lock()

    def lost(self, process: asyncio.subprocess.Process) -> bool:
        """Whether nobody asked this process to end, and no other has its name yet."""
        return not self.expected and self.process is process

    def send(self, number: int) -> None:
        """Signal the process, if it is there."""
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


class Fleet:
    """Workers and trainers of one run, each a process with a data folder and a log of its own under `folder`.

    `tell` gets a line for each end that nobody asked for; those are collected in `exits`, and the process is
    started again. Everything is killed when the block ends.
    """

    def __init__(self, settings: Settings, folder: Path, tell: Callable[[str], None]) -> None:
        self.exits: list[Exit] = []
        self.starts = 0
        self.slowest_drain_s = 0.0
        self._settings = settings
        self._folder = folder
        self._tell = tell
        self._output = ToFiles(folder / "logs")
        self._members: dict[str, _Member] = {}

    async def __aenter__(self) -> Fleet:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for member in self._members.values():
            member.expected = True
            member.send(signal.SIGKILL)
            await self._ended(member)

    @property
    def running(self) -> list[str]:
        """Names of the processes that run, or stand still."""
        return [name for name, member in self._members.items() if _alive(member)]

    async def start(self, name: str) -> None:
        """Start a role; its name is the role's, a dash and something of its own."""
        member = self._members.setdefault(name, _Member(name, name.partition("-")[0]))
        async with member.busy:
            await self._spawn(member)

    async def kill(self, name: str, down_s: float) -> None:
        """SIGKILL, and start again after `down_s` seconds."""
        await self._restart(name, signal.SIGKILL, down_s)

    async def terminate(self, name: str) -> None:
        """SIGTERM, and start again when it has drained."""
        await self._restart(name, signal.SIGTERM, 0.0)

    async def pause(self, name: str, hold_s: float) -> None:
        """SIGSTOP for `hold_s` seconds, then SIGCONT: it wakes up and does not know what it missed."""
        member = self._members[name]
        async with member.busy:
            member.send(signal.SIGSTOP)
            await asyncio.sleep(hold_s)
            member.send(signal.SIGCONT)

    async def remove(self, name: str) -> None:
        """SIGTERM, and wait until it has drained."""
        member = self._members[name]
        async with member.busy:
            await self._end(member, signal.SIGTERM)

    async def _restart(self, name: str, number: signal.Signals, down_s: float) -> None:
        member = self._members[name]
        async with member.busy:
            await self._end(member, number)
            await asyncio.sleep(down_s)
            await self._spawn(member)

    async def _spawn(self, member: _Member) -> None:
        self.starts += 1
        member.expected = False
        with self._output.open(member.name) as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "app.cli", member.role, "--supervised",
                stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log,
                env=_environment(self._settings, self._folder / "data" / member.name), start_new_session=True,
            )  # fmt: skip
        member.process = process
        member.watch = asyncio.create_task(self._watch(member, process), name=f"watch {member.name}")

    async def _end(self, member: _Member, number: signal.Signals) -> None:
        member.expected = True
        alive, begun = _alive(member), time.monotonic()
        member.send(number)
        late = not await self._ended(member)
        self.slowest_drain_s = max(self.slowest_drain_s, time.monotonic() - begun)
        code = member.process.returncode if member.process else None
        # A process that is asked to end before it can listen just ends.
        if alive and number == signal.SIGTERM and (late or code not in (0, -signal.SIGTERM)):
            why = f"not drained after {_DRAINED_WITHIN_S:.0f} s" if late else self._why(member)
            self._note(member, code if code is not None else -1, why)

    async def _ended(self, member: _Member) -> bool:
        """Wait for the process; False if it had to be killed."""
        if member.process is None:
            return True
        try:
            async with asyncio.timeout(_DRAINED_WITHIN_S):
                await member.process.wait()
        except TimeoutError:
            member.send(signal.SIGKILL)
            await member.process.wait()
            return False
        return True

    async def _watch(self, member: _Member, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        if not member.lost(process):
            return
        self._note(member, code, self._why(member))
        await asyncio.sleep(_RESTART_AFTER_S)
        async with member.busy:
            if member.lost(process):
                await self._spawn(member)

    def _why(self, member: _Member) -> str:
        """What its log says of its end: the first failure after its last start, or the last lines."""
        with Path(self._output.location(member.name)).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_BYTES))
            text = log.read().decode("utf-8", "replace").rpartition("role starting")[2]
        found = _SAYS_WHY.search(text)
        if found is None:
            return self._output.tail(member.name)[-_DETAIL_CHARS:]
        return found[1][:_DETAIL_CHARS] if found[1] else found[2][-_DETAIL_CHARS:]

    def _note(self, member: _Member, code: int, detail: str) -> None:
        found = Exit(member.name, code, bool(_ON_PURPOSE.search(detail)), detail)
        self.exits.append(found)
        self._tell(str(found))


def _alive(member: _Member) -> bool:
    return member.process is not None and member.process.returncode is None


def _environment(settings: Settings, data_dir: Path) -> Mapping[str, str]:
    """The environment of a role: the run's settings and nothing of ours from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    own = msgspec.structs.replace(settings, data_dir=str(data_dir))
    path = os.pathsep.join(filter(None, [str(_ROOT), kept.get("PYTHONPATH")]))
    return kept | to_env(own) | {"PYTHONPATH": path}


def require_signals() -> None:
    """Raise AppError on a system that cannot stop and continue processes."""
    if not hasattr(signal, "SIGSTOP"):
        raise AppError("this system has no SIGSTOP and SIGCONT; allowed: Linux, macOS")
