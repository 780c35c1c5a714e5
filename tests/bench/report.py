"""Statistics, the Markdown of the results, and what the machine is."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

_OUR_PARTS = ("faust-streaming", "aiokafka", "numpy", "orjson", "msgspec", "uvloop")


class Table(msgspec.Struct):
    """One part of the results: a heading, rows of text under columns, and sentences on how it was measured."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The section; columns after the first are aligned right."""
        lines = [f"## {self.title}", ""]
        lines += [_line(self.columns), _line(("---", *("---:" for _ in self.columns[1:])))]
        lines += [_line(row) for row in self.rows]
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines)


def page(tables: Sequence[Table], facts: Sequence[str]) -> str:
    """The whole page: the machine and versions, then each table."""
    head = [
        "# Benchmark results",
        "",
        "Written by `ebbtide bench`; see `tests/bench` for what is measured and how.",
        "",
    ]
    return "\n".join([*head, *(f"- {fact}" for fact in facts), "", "\n\n".join(t.markdown() for t in tables), ""])


def machine(broker: str, command: str) -> list[str]:
    """What the figures were measured on and with."""
    cores = os.cpu_count() or 0
    ours = ", ".join(f"{name} {version(name)}" for name in _OUR_PARTS)
    return [
        f"{datetime.now(UTC):%Y-%m-%d}, `{command}`",
        f"{cpu_model()}, {cores} cores shared by broker, load and contestants, {memory_gb():.0f} GB",
        f"load average over 15 minutes at the end: {os.getloadavg()[2]:.1f} (a quiet machine: about 1 to 2)",
        f"Python {platform.python_version()}, broker: {broker}",
        f"ours: ebbtide {_version()} on {ours}",
    ]


def _version() -> str:
    try:
        return version("ebbtide")
    except PackageNotFoundError:
        return "(not installed)"


def cpu_model(info: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name; the architecture where it is not told."""
    for line in info.read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def median(values: Sequence[float]) -> float:
    """The median; not a number of an empty list, so that a row without results can be printed."""
    return statistics.median(values) if values else float("nan")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share (0 to 1) of all values does not exceed."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    rank = -(-len(ordered) * share // 1)
    return ordered[max(0, min(len(ordered), int(rank)) - 1)]


def spread(values: Sequence[float]) -> str:
    """The least and the greatest, for thousands."""
    return f"{number(min(values))} to {number(max(values))}" if values else ""


def number(value: float) -> str:
    """A whole number with separators, or a dash if there is none."""
    return "–" if value != value else f"{value:,.0f}"


def decimal(value: float, digits: int = 1) -> str:
    """A number with a few digits, or a dash if there is none."""
    return "–" if value != value else f"{value:,.{digits}f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
