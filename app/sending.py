"""Sends a source's events to the broker for a command: with progress, until the end or Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from app.errors import AppError
from app.progress import Report, progress
from models.settings import BrokerSettings
from streams.replay import AnyEvent, ReplayError, ReplayReport, replay
from streams.sources import SourceError
from streams.topics import TopicsUnavailable, create_topics

#: Share of the whole (0 to 1) after so many events up to such an event time; None if nobody knows.
Share = Callable[[int, float], float | None]

INTERRUPTED = 130


def send(
    events: Iterable[AnyEvent], broker: BrokerSettings, label: str, speed: float | None, share: Share | None
) -> int:
    """Send all events and print what was sent; returns the exit status.

    Parameters
    ----------
    events
        In the order in which they shall arrive.
    broker
        Where to; missing topics are created if the settings allow it.
    label
        What is sent, for the progress.
    speed
        Seconds of event time per second; None is as fast as it goes.
    share
        How far the sending is, if that can be told.

    Raises
    ------
    AppError
        If the source cannot be read or the broker does not take the events.
    """
    try:
        with progress(label, None if share is None else 1.0) as report, asyncio.Runner() as runner:
            sent, stopped = runner.run(_send(events, broker, speed, share, report))
    except (ReplayError, SourceError, TopicsUnavailable) as error:
        raise AppError(str(error)) from None
    print(told(sent) + (", then stopped by a signal" if stopped else ""))
    return INTERRUPTED if stopped else 0


def told(report: ReplayReport) -> str:
    """What was sent, in one line."""
    topics = ", ".join(f"{topic} {count:,}" for topic, count in sorted(report.by_topic.items()))
    rate = f"{report.seconds:.1f} s, {report.events_per_s:,.0f} events/s"
    return f"sent {report.events:,} events ({report.bytes / 1e6:.1f} MB) in {rate}" + (f": {topics}" if topics else "")


def remark(count: int, event_time: float) -> str:
    """How far a sending is, for the progress."""
    return f"{count:,} events, {datetime.fromtimestamp(event_time, UTC):%Y-%m-%d}"


async def _send(
    events: Iterable[AnyEvent], broker: BrokerSettings, speed: float | None, share: Share | None, report: Report
) -> tuple[ReplayReport, bool]:
    stop = _stop_on_signals()
    if broker.create_topics:
        await create_topics(broker)

    def show(count: int, event_time: float) -> None:
        done = share(count, event_time) if share is not None else None
        report(done or 0.0, remark(count, event_time))

    return await replay(events, broker, speed=speed, progress=show, stop=stop), stop.is_set()


def _stop_on_signals() -> asyncio.Event:
    """The first signal ends the sending in good order; the second interrupts as ever."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    return stop
