"""`ebbtide replay`: events from files, or those of the Complete Journey, with their own times."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from app.commands.base import Command, moment, positive_int, speed
from app.errors import AppError, UsageError
from models.settings import Settings

if TYPE_CHECKING:
    from app.sending import Share
    from streams.sources import SourceEvent

COMPLETE_JOURNEY = "completejourney"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="+",
        metavar="FILE",
        help=f"NDJSON (plain or gzip) or Parquet files, merged by time; or {COMPLETE_JOURNEY}, a real year of a grocer",
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
    from streams.sources import SourceError

    if args.begin is not None and args.end is not None and args.begin >= args.end:
        raise UsageError("--from is not before --to: nothing would be sent")
    broker = find_broker(settings).broker
    try:
        events = islice(_chosen(_events(args.source), args.begin, args.end), args.limit)
    except SourceError as error:
        raise AppError(str(error)) from None
    return send(events, broker, "replaying", args.speed, _share(args))


def _events(sources: list[str]) -> Iterator[SourceEvent]:
    from streams.sources import read_files
    from streams.sources.completejourney import read_completejourney

    if sources == [COMPLETE_JOURNEY]:
        return read_completejourney()
    if COMPLETE_JOURNEY in sources:
        raise UsageError(f"{COMPLETE_JOURNEY} is a source of its own; allowed: it alone, or files")
    return read_files(Path(source) for source in sources)


def _chosen(events: Iterator[SourceEvent], begin: float | None, end: float | None) -> Iterator[SourceEvent]:
    low = float("-inf") if begin is None else begin
    high = float("inf") if end is None else end
    return (event for event in events if low <= event.time < high)


def _share(args: argparse.Namespace) -> Share | None:
    """Known where the number of events is: with a limit, or of the whole data set."""
    from streams.sources.completejourney import EVENTS

    whole = EVENTS if args.source == [COMPLETE_JOURNEY] and args.begin is None and args.end is None else None
    total = min(args.limit or EVENTS, EVENTS) if whole else args.limit
    return (lambda count, _: count / total) if total else None


COMMANDS = (
    Command(
        "replay",
        "send events from files, or of a real data set, with their own times",
        "ebbtide replay completejourney --speed 86400",
        _arguments,
        _run,
    ),
)
