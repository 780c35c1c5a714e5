"""Progress of a long command: a bar on a terminal, else a line now and then, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

#: Takes how much is done, of the total, and a remark such as the date that was reached.
Report = Callable[[float, str], None]

_LINE_EVERY_S = 5.0


@contextmanager
def progress(label: str, total: float | None, stream: TextIO | None = None) -> Iterator[Report]:
    """Show how far a command is, for the length of the block.

    Parameters
    ----------
    label
        What is going on.
    total
        What `done` will be at the end; None if nobody knows.
    stream
        Where to show it, stderr by default.
    """
    target = stream or sys.stderr
    with _bar(label, total, target) if target.isatty() else _lines(label, total, target) as report:
        yield report


@contextmanager
def _bar(label: str, total: float | None, stream: TextIO) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[remark]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=stream)) as bar:
        task = bar.add_task(label, total=total, remark="")
        yield lambda done, remark: bar.update(task, completed=done, remark=remark)


@contextmanager
def _lines(
    label: str, total: float | None, stream: TextIO, clock: Callable[[], float] = time.monotonic
) -> Iterator[Report]:
    shown_at = clock()

    def report(done: float, remark: str) -> None:
        nonlocal shown_at
        if clock() - shown_at >= _LINE_EVERY_S:
            shown_at = clock()
            share = f" {done / total:.0%}" if total else ""
            print(f"{label}:{share} {remark}".rstrip(), file=stream, flush=True)

    yield report
