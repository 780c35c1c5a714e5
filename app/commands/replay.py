"""`ebbtide replay`: events from files, or of a named data set, with their own times."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from app.commands.base import Command, moment, positive_int, speed
from app.errors import AppError, UsageError
from models.settings import Settings

if TYPE_CHECKING:
    from app.sending import Share
    from streams.sources import SourceEvent


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="+",
        metavar="EVENTS",
        help="NDJSON (plain or gzip) or Parquet files, merged by time; or completejourney, cdnow[:PATH], "
        "simulator[:customers=N,days=N,seed=N,incident=KIND:DAY:DAYS]",
    )
    parser.add_argument(
        "--speed", type=speed, metavar="X", help="event seconds per second, such as 86400, or max (max)"
    )
    parser.add_argument("--limit", type=positive_int, metavar="N", help="send only the first N events")
    parser.add_argument(
        "--from", dest="begin", type=moment, metavar="DATE", help="send only events from this time on, UTC"
    )
    parser.add_argument("--to", dest="end", type=moment, metavar="DATE", help="send only events before this time, UTC")


def _run(args: argparse.Namespace, settings: Settings) -> int:
    from app.broker import find_broker
    from app.sending import send
    from streams.sources.event import SourceError
    from streams.sources.registry import open_sources

    if args.begin is not None and args.end is not None and args.begin >= args.end:
        raise UsageError("--from is not before --to: nothing would be sent")
    broker = find_broker(settings).broker
    try:
        opened = open_sources(args.source)
    except SourceError as error:
        raise AppError(str(error)) from None
    events = islice(_chosen(opened.events, args.begin, args.end), args.limit)
    return send(events, broker, "replaying", args.speed, _share(args, opened.share))


def _chosen(events: Iterator[SourceEvent], begin: float | None, end: float | None) -> Iterator[SourceEvent]:
    low = float("-inf") if begin is None else begin
    high = float("inf") if end is None else end
    return (event for event in events if low <= event.time < high)


def _share(args: argparse.Namespace, whole: Share | None) -> Share | None:
    """Known with a limit, or for a whole source that knows its length."""
    if args.limit:
        return lambda count, _: min(1.0, count / args.limit)
    return whole if args.begin is None and args.end is None else None


COMMANDS = (
    Command(
        "replay",
        "send events from files, or of a real data set, with their own times",
        "ebbtide replay completejourney --speed 86400",
        _arguments,
        _run,
    ),
)
