"""A whole backtest: events in, every prediction to a file, and what is needed to judge them."""

from __future__ import annotations

import math
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import msgspec

from app.backtest.predictions import PredictionFile
from app.backtest.vectors import VectorFile
from app.errors import AppError
from app.progress import Report, progress
from models.backtest.audit import Auditor
from models.backtest.run import Backtest
from models.backtest.sample import Sample
from models.features import FEATURE_NAMES, FEATURE_VERSION, FEATURES
from models.features.layout import DAY_S
from models.settings import Settings
from streams.sources.event import SourceError
from streams.sources.registry import Share, open_sources


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. Times are epoch seconds: predictions before `begin` are not kept, events from `end` on not read."""

    sources: tuple[str, ...]
    begin: float = -math.inf
    end: float = math.inf
    every_s: float = DAY_S
    seed: int = 0
    predictions: str | None = None
    features: str | None = None
    audit: bool = False


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of CPU, the rate they make, and the most memory the process had."""

    cpu_s: float
    wall_s: float
    events_per_cpu_s: float
    peak_rss_mb: float


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A backtest that has ended. `fault` says why it ended before its events did; `stopped` that the user asked."""

    backtest: Backtest
    sample: Sample
    auditor: Auditor | None
    predictions: int
    timings: Timings
    stopped: bool
    fault: str | None


def run_backtest(plan: Plan, settings: Settings, now: float) -> Done:
    """Run it with a progress bar; Ctrl-C ends it in good order and keeps what is done.

    Raises
    ------
    AppError
        The events cannot be had at all, there are none, or the predictions cannot be written.
    """
    cpu, wall = time.process_time(), time.monotonic()
    try:
        opened = open_sources(plan.sources)
    except SourceError as error:
        raise AppError(str(error)) from None
    auditor = Auditor(settings.label) if plan.audit else None
    backtest = Backtest(
        settings, FEATURES, FEATURE_VERSION, now=now, every_s=plan.every_s, end=plan.end, auditor=auditor
    )
    sample = Sample(plan.begin, plan.seed)
    target = PredictionFile(Path(plan.predictions), FEATURE_VERSION) if plan.predictions else None
    vectors = VectorFile(Path(plan.features), FEATURE_NAMES) if plan.features else None
    rows, fault = 0, None
    with (
        target or nullcontext(), vectors or nullcontext(), _on_interrupt(backtest.stop) as asked,
        _progress(opened.share) as report,
    ):  # fmt: skip
        try:
            for one in backtest.run(opened.events):
                if one.as_of >= plan.begin:
                    rows += len(one.customers)
                    sample.add(one)
                    if target is not None:
                        target.add(one)
                    if vectors is not None:
                        vectors.add(one, backtest.customers)
                _tell(report, opened.share, backtest)
        except SourceError as error:
            fault = str(error)
        if not backtest.events:
            raise AppError(fault or f"no events in {', '.join(map(repr, plan.sources))}")
        if target is not None:
            report(1.0, "labelling")
            target.finish(backtest.customers, backtest.truth, backtest.known_until)
        if vectors is not None:
            vectors.finish()
    timings = _timings(backtest.events, time.process_time() - cpu, time.monotonic() - wall)
    return Done(
        backtest=backtest,
        sample=sample,
        auditor=auditor,
        predictions=rows,
        timings=timings,
        stopped=asked(),
        fault=fault,
    )


def _timings(events: int, cpu_s: float, wall_s: float) -> Timings:
    unit = 1e6 if sys.platform == "darwin" else 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return Timings(cpu_s=cpu_s, wall_s=wall_s, events_per_cpu_s=events / max(cpu_s, 1e-9), peak_rss_mb=peak)


@contextmanager
def _progress(share: Share | None) -> Iterator[Report]:
    with progress("backtest", None if share is None else 1.0) as report:
        yield report


def _tell(report: Report, share: Share | None, backtest: Backtest) -> None:
    done = share(backtest.events, backtest.newest) if share is not None else 0.0
    report(done, f"{backtest.events:,} events, {datetime.fromtimestamp(backtest.newest, UTC):%Y-%m-%d}")


@contextmanager
def _on_interrupt(stop: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C asks for an end, the second interrupts as ever; yields whether one came."""
    came = False

    def on_signal(number: int, _: FrameType | None) -> None:
        nonlocal came
        came = True
        signal.signal(number, before)
        stop()

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGINT, before)
