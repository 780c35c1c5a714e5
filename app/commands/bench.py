"""`ebbtide bench`: the benchmark of `tests/bench`, from a source checkout."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from app.commands.base import Command, positive_int
from app.errors import AppError, UsageError
from models.settings import Settings

PARTS = ("floor", "job", "full", "scaling", "latency")
_ROOT = Path(__file__).resolve().parents[2]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="fewer events, rounds and customers: under 5 minutes")
    parser.add_argument("--only", type=_parts, default=PARTS, metavar="PART,...", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--rounds", type=positive_int, metavar="N", help="rounds of each measurement (5; quick: 2)")
    parser.add_argument("--peers", type=_names, default=(), metavar="NAME,...", help="only these contestants of `job`")
    parser.add_argument(
        "--broker",
        default="auto",
        metavar="WHERE",
        help="kafka (started from Maven jars), embedded, HOST:PORT, or auto: Kafka where Java and Maven are (auto)",
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the tables as JSON")
    parser.add_argument(
        "--write", action="store_true", help="write tests/bench/RESULTS.md, as a run of all parts without --quick does"
    )


def _parts(text: str) -> tuple[str, ...]:
    found = _names(text)
    unknown = [name for name in found if name not in PARTS]
    if unknown or not found:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: {', '.join(PARTS)}, separated by commas")
    return found


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _run(args: argparse.Namespace, settings: Settings) -> int:
    if not (_ROOT / "tests" / "bench" / "run.py").is_file():
        raise UsageError(
            "`ebbtide bench` needs a source checkout: there is no tests/bench beside the installed packages"
        )
    if not sys.platform.startswith("linux"):
        raise UsageError(f"`ebbtide bench` reads /proc: it runs on Linux, not on {sys.platform}")
    sys.path.insert(0, str(_ROOT))
    run = importlib.import_module("tests.bench.run")
    broker = settings.broker.bootstrap if args.broker == "auto" and settings.broker.bootstrap else args.broker
    plan = run.Plan(
        parts=args.only,
        quick=args.quick,
        rounds=args.rounds or (2 if args.quick else 5),
        broker=broker,
        peers=args.peers,
        cache=Path(settings.data_dir).resolve() / ".bench",
    )
    try:
        text = run.run(plan, json_path=args.json, write=args.write)
    except run.CannotMeasure as error:
        raise AppError(f"cannot measure: {error}") from None
    print(text)
    return 0


COMMANDS = (
    Command(
        "bench",
        "measure speed beside other frameworks, scaling and latency, and print the results as Markdown",
        "ebbtide bench --quick",
        _arguments,
        _run,
    ),
)
