"""`ebbtide verify`: features recomputed from the raw log by SQL, against what the stream kept and served."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.commands.base import Command, moment, positive_int
from app.errors import AppError, NoBrokerError, UsageError
from models.settings import Settings

if TYPE_CHECKING:
    from streams.verify import Report


def _how_many(text: str) -> int | None:
    """A whole number above 0, or `all` (None)."""
    return None if text == "all" else positive_int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: seconds, 0 or more")
    return seconds


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--customers", type=_how_many, metavar="all|N", help="compare all, or N drawn by --seed (all)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which N customers are drawn (0)")
    parser.add_argument(
        "--as-of", type=moment, metavar="TIME", help="compare states as of this time, UTC (the newest event's)"
    )
    parser.add_argument(
        "--wait", type=_seconds, default=0.0, metavar="S", help="wait so long for records that are not applied yet (0)"
    )
    parser.add_argument("--json", metavar="PATH", help="also write what was found to this file")


def _run(args: argparse.Namespace, settings: Settings) -> int:
    from models.state import StateError
    from streams.verify import CannotVerify, lines

    try:
        report = _verify(args, settings)
    except CannotVerify as error:
        raise UsageError(str(error)) from None
    except StateError as error:
        raise AppError(str(error)) from None
    for line in lines(report):
        print(line)
    if args.json:
        _write(args.json, report)
    return 0 if report.ok else 1


def _verify(args: argparse.Namespace, settings: Settings) -> Report:
    from app.broker import find_broker
    from streams.verify import newest_export, verify, verify_export

    chosen = {"customers": args.customers, "seed": args.seed, "as_of": args.as_of}
    try:
        found = find_broker(settings)
    except NoBrokerError as error:
        folder = newest_export(Path(settings.data_dir))
        if folder is None:
            raise NoBrokerError(f"{error}; nor is there the log of a demo: `ebbtide demo` leaves one") from None
        print(f"no broker runs: verifying the log that a demo left in {str(folder)!r}", flush=True)
        return verify_export(folder, **chosen)
    return asyncio.run(verify(found, wait_s=args.wait, **chosen))


def _write(path: str, report: Report) -> None:
    try:
        Path(path).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    except OSError as error:
        raise AppError(f"cannot write {path!r}: {(error.strerror or str(error)).lower()}") from None


COMMANDS = (
    Command(
        "verify",
        "recompute the features from the raw log with SQL, and compare",
        "ebbtide verify --customers 1000 --wait 30",
        _arguments,
        _run,
    ),
)
