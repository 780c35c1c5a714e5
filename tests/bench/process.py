"""Child processes of the benchmark: started in a session of their own, measured through /proc, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from streams.embedded import die_with_parent
from tests.brokers import ROOT

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_STOP_WITHIN_S = 20.0


class Child:
    """One process and its descendants. As a context manager it is stopped at the end: SIGTERM, then SIGKILL.

    `cores` binds it to these cores; None leaves it where the system puts it. What it prints goes to `log`.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        cores: Sequence[int] | None = None,
    ) -> None:
        self.log = log
        plain = {name: value for name, value in os.environ.items() if not name.startswith("EBBTIDE_")}
        environment = plain | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | dict(env or {})
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [*die_with_parent(), *command],
                env=environment, cwd=log.parent, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip
        if cores is not None:
            os.sched_setaffinity(self._process.pid, cores)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def cpu_s(self) -> float:
        """CPU seconds so far of all processes of its session, user and system, with those of ended children."""
        return sum(map(_ticks, self._session())) * _TICK_S

    def rss_bytes(self) -> int:
        """Resident memory of all processes of its session."""
        return sum(int(_read(pid, "statm").split()[1]) for pid in self._session()) * os.sysconf("SC_PAGE_SIZE")

    def tail(self) -> str:
        """The last lines that it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])

    def stop(self, *, gently: bool = True) -> None:
        """End it and everything in its session."""
        if gently and self.alive:
            self._process.terminate()
            try:
                self._process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                pass
        for pid in self._session():
            os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _session(self) -> list[int]:
        """Living members; a field of `stat` after the name in brackets: 0 state, 3 session."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                fields = _stat(int(folder.name))
                if fields and int(fields[3]) == self.pid and fields[0] != "Z":
                    found.append(int(folder.name))
        return found


def _ticks(pid: int) -> int:
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) if fields else 0


def _stat(pid: int) -> list[str]:
    return _read(pid, "stat").rpartition(")")[2].split()


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
