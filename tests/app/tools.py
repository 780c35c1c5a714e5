"""What the tests of the process share: waiting on a condition, small children, servers on free ports."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import msgspec

from models.settings import HttpSettings, Settings

ROOT = Path(__file__).resolve().parents[2]


def free_ports(tmp_path: Path, **http: object) -> Settings:
    """Settings whose servers all take free ports and whose data lies in `tmp_path`."""
    ports = {f"{name}_port": 0 for name in ("console", "worker", "trainer", "warehouse", "sync")}
    return Settings(data_dir=str(tmp_path / "data"), http=HttpSettings(**(ports | http)))


def with_broker(settings: Settings, bootstrap: str) -> Settings:
    """The same settings with another broker address."""
    return msgspec.structs.replace(settings, broker=msgspec.structs.replace(settings.broker, bootstrap=bootstrap))


async def until(condition, timeout_s: float = 10.0):
    """Wait until `condition()` is truthy and return it."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not true within {timeout_s} s: {condition}"
        await asyncio.sleep(0.005)
    return found


def wait_until(condition, timeout_s: float = 10.0):
    """The same outside an event loop."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not true within {timeout_s} s: {condition}"
        time.sleep(0.01)
    return found


def gone(pid: int) -> bool:
    """Whether the process has ended (a zombie that nobody collected has)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def python(code: str) -> tuple[str, ...]:
    """The command that runs `code`."""
    return (sys.executable, "-c", code)


def child_env() -> dict[str, str]:
    """An environment in which children find the packages."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("EBBTIDE_")}
    return plain | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
