"""`ebbtide backtest`: the engine of the worker and the learner of the trainer over a history, without a broker."""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.commands.base import Command, moment
from app.errors import AppError, UsageError
from models.settings import LabelSettings, Settings

if TYPE_CHECKING:
    from models.backtest.result import Result

_INTERRUPTED = 130
_DAY_S = 86_400.0
_UNITS = {"h": 1 / 24, "d": 1.0, "w": 7.0}
_KINDS = ("inactivity", "cancellation")


def _days(text: str) -> float:
    """Days of a length such as `30d`, `12h` or `2w`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: a length such as 30d, 12h or 2w")
    return float(found[1]) * _UNITS[found[2]]


def _longer(text: str) -> float:
    days = _days(text)
    if not 0 < days < 36_500:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: above 0 and less than 100 years")
    return days


def _label(text: str) -> tuple[str, float]:
    kind, _, horizon = text.partition(":")
    if kind not in _KINDS:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: {' or '.join(f'{kind}:30d' for kind in _KINDS)}")
    return kind, _longer(horizon or "30d")


def _horizons(text: str) -> tuple[float, ...]:
    return tuple(_longer(part) for part in text.split(","))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "events", nargs="+", metavar="EVENTS",
        help="NDJSON (plain or gzip) or Parquet files, merged by time; or completejourney, cdnow[:PATH], "
        "simulator[:customers=N,days=N,seed=N,incident=KIND:DAY:DAYS]",
    )  # fmt: skip
    parser.add_argument(
        "--label", type=_label, metavar="KIND:LENGTH", help="inactivity:30d or cancellation:30d (as in the settings)"
    )
    parser.add_argument("--gap", type=_days, metavar="LENGTH", help="time between prediction and horizon, such as 7d")
    parser.add_argument("--horizons", type=_horizons, metavar="LENGTHS", help="further horizons, such as 7d,90d")
    parser.add_argument(
        "--active-within", type=_longer, metavar="LENGTH", help="who is in the cohort of inactivity, such as 90d"
    )
    parser.add_argument(
        "--from", dest="begin", type=moment, default=-math.inf, metavar="DATE",
        help="keep predictions from this time on, UTC; earlier events are learned from all the same",
    )  # fmt: skip
    parser.add_argument(
        "--to", dest="end", type=moment, default=math.inf, metavar="DATE", help="read events before this time, UTC"
    )
    parser.add_argument("--every", type=_longer, default=1.0, metavar="LENGTH", help="time between predictions (1d)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (0)")
    parser.add_argument("--predictions", metavar="PATH", help="write every prediction to this Parquet file")
    parser.add_argument(
        "--features", metavar="PATH", help="write the feature vector of every prediction to this Parquet file"
    )
    parser.add_argument(
        "--audit", action="store_true", help="look for leaks of the future; the exit status is 1 when one is found"
    )
    parser.add_argument("--json", metavar="PATH", help="write the result to this file")
    parser.add_argument("--report", metavar="PATH", help="write the report to this file, one HTML page")


def _run(args: argparse.Namespace, settings: Settings) -> int:
    from app.backtest.assemble import assemble, write, write_json
    from app.backtest.job import Plan, run_backtest
    from app.backtest.told import lines

    report_html = _reporter() if args.report else None
    for path in filter(None, (args.predictions, args.features, args.json, args.report)):
        _check_target(Path(path))
    if args.begin >= args.end:
        raise UsageError("--from is not before --to: nothing would be predicted")
    chosen = msgspec.structs.replace(settings, label=_chosen(args, settings.label))
    plan = Plan(
        sources=tuple(args.events), begin=args.begin, end=args.end, every_s=args.every * _DAY_S, seed=args.seed,
        predictions=args.predictions, features=args.features, audit=args.audit,
    )  # fmt: skip
    done = run_backtest(plan, chosen, time.time())
    result = assemble(done, plan, chosen)
    if args.json:
        write_json(args.json, result)
    if report_html is not None:
        write(args.report, report_html(result).encode())
    for line in lines(result):
        print(line)
    if done.fault:
        print(f"ebbtide: {done.fault}", file=sys.stderr)
    if done.stopped:
        return _INTERRUPTED
    return 1 if done.fault or (result.audit is not None and not result.audit.clean) else 0


def _check_target(path: Path) -> None:
    """Known before the run. Results take a file's name when they are complete, which would replace a device."""
    if path.exists() and not path.is_file():
        raise AppError(f"cannot write {str(path)!r}: it is no ordinary file; allowed: the path of one, or a new one")
    if not path.parent.is_dir():
        raise AppError(f"cannot write {str(path)!r}: no such folder as {str(path.parent)!r}")


def _reporter() -> Callable[[Result], str]:
    """Before the run, so that a missing package is known at once."""
    try:
        from app.backtest.report.page import report_html
    except ModuleNotFoundError as error:
        raise UsageError(
            f"cannot draw a report: the package {error.name} is not installed; pip install 'ebbtide[report]'"
        ) from None
    return report_html


def _chosen(args: argparse.Namespace, label: LabelSettings) -> LabelSettings:
    kind, horizon_days = args.label or (None, None)
    wanted = {
        "kind": kind, "horizon_days": horizon_days, "gap_days": args.gap, "other_horizons_days": args.horizons,
        "active_within_days": args.active_within,
    }  # fmt: skip
    given = {name: value for name, value in wanted.items() if value is not None}
    return msgspec.structs.replace(label, **given)


COMMANDS = (
    Command(
        "backtest",
        "predict a history day by day with the engine of the worker, and judge the predictions",
        "ebbtide backtest completejourney --label inactivity:30d --predictions out.parquet",
        _arguments,
        _run,
    ),
)
