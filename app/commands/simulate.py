"""`ebbtide simulate`: the events of a made-up shop, to the broker or into a file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from app.commands.base import Command, positive_int, speed
from app.errors import AppError, UsageError
from models.settings import Settings
from models.simulator.settings import INCIDENTS, Incident, InvalidSimulatorSettings, SimulatorSettings

_DAY_S = 86_400
_REPORT_EVERY = 1_000
_DEFAULTS = SimulatorSettings()


def _arguments(parser: argparse.ArgumentParser) -> None:
    defaults = _DEFAULTS
    parser.add_argument(
        "--customers", type=positive_int, default=defaults.customers, metavar="N", help="customers (%(default)s)"
    )
    parser.add_argument("--days", type=positive_int, default=defaults.days, metavar="N", help="days (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=defaults.seed, metavar="N", help="the same seed, the same events (%(default)s)"
    )
    parser.add_argument(
        "--incident", metavar="KIND:DAY:DAYS",
        help=f"something that happens to the shop, such as payments:60:14; kinds: {', '.join(INCIDENTS)}",
    )  # fmt: skip
    parser.add_argument("--start", default=defaults.start, metavar="DATE", help="first day, UTC (%(default)s)")
    parser.add_argument(
        "--out", metavar="FILE", help="write NDJSON to this file (- is standard output) instead of Kafka"
    )
    parser.add_argument(
        "--truth", metavar="FILE", help="write who cancelled when, as JSON: the simulator's own knowledge"
    )
    parser.add_argument(
        "--speed", type=speed, metavar="X", help="event seconds per second, such as 86400, or max (max)"
    )


def _run(args: argparse.Namespace, settings: Settings) -> int:
    try:
        incident = Incident.parse(args.incident) if args.incident else None
        simulator = SimulatorSettings(
            customers=args.customers, days=args.days, seed=args.seed, start=args.start, incident=incident
        )
        simulator.check()
    except InvalidSimulatorSettings as error:
        raise UsageError(str(error)) from None
    if args.out and args.speed:
        raise UsageError("--speed is for sending to Kafka; a file is written as fast as it goes")
    status = _write(args.out, simulator) if args.out else _send(args.speed, simulator, settings)
    if args.truth and status == 0:
        _write_truth(args.truth, simulator)
    return status


def _send(speed_x: float | None, simulator: SimulatorSettings, settings: Settings) -> int:
    from app.broker import find_broker
    from app.sending import send
    from models.simulator.events import simulate

    broker = find_broker(settings).broker
    return send(simulate(simulator), broker, "simulating", speed_x, lambda _, at: _share(simulator, at))


def _write(path: str, simulator: SimulatorSettings) -> int:
    from app.progress import progress
    from app.sending import remark
    from models.simulator.events import simulate

    lines = 0
    with _opened(path) as out, progress("simulating", 1.0) as report:
        for event in simulate(simulator):
            if not event.raw:
                continue  # an empty record has no line
            out.write(event.raw + b"\n")
            lines += 1
            if lines % _REPORT_EVERY == 0:
                report(_share(simulator, event.time), remark(lines, event.time))
    print(f"wrote {lines:,} events to {path}", file=sys.stderr if path == "-" else sys.stdout)
    return 0


def _share(simulator: SimulatorSettings, event_time: float) -> float:
    done = (event_time - simulator.start_time) / (simulator.days * _DAY_S)
    return min(1.0, max(0.0, done))


def _write_truth(path: str, simulator: SimulatorSettings) -> None:
    from models.simulator.truth import SimulatedTruth

    with _opened(path) as out:
        out.write(json.dumps(SimulatedTruth(simulator).to_dict()).encode() + b"\n")


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    """Standard output, or a file that has its name only once it is complete."""
    if path == "-":
        yield sys.stdout.buffer
        return
    target = Path(path)
    fresh = target.with_name(f"{target.name}.new")
    try:
        with fresh.open("wb") as file:
            yield file
        fresh.replace(target)
    except OSError as error:
        raise AppError(f"cannot write {path!r}: {(error.strerror or str(error)).lower()}") from None
    finally:
        fresh.unlink(missing_ok=True)


COMMANDS = (
    Command(
        "simulate",
        "send the events of a made-up shop whose customers leave for known causes",
        "ebbtide simulate --customers 500 --days 120 --out shop.ndjson",
        _arguments,
        _run,
    ),
)
