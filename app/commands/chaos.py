"""`ebbtide chaos`: everything goes wrong on a scratch cluster, and every number is checked afterwards."""

from __future__ import annotations

import argparse

from app.commands.base import Command, positive_int
from models.settings import Settings

_EVENTS, _FAULTS, _SEED = 200_000, 20, 1


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--broker", metavar="HOST:PORT", help="the scratch cluster (the broker of the settings)")
    parser.add_argument(
        "--events", type=positive_int, default=_EVENTS, metavar="N", help="events to send (%(default)s)"
    )
    parser.add_argument("--faults", type=positive_int, default=_FAULTS, metavar="N", help="faults (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=_SEED, metavar="N", help="the same seed, the same events and faults (%(default)s)"
    )
    parser.add_argument("--json", metavar="PATH", help="also write the result to this file")
    parser.add_argument("--keep", action="store_true", help="leave the topics of the run on the cluster")


def _run(args: argparse.Namespace, settings: Settings) -> int:
    import msgspec

    from app.broker import find_broker
    from app.chaos.plan import FEWEST_FAULTS
    from app.chaos.run import Options, chaos_settings, run
    from app.errors import UsageError

    if args.faults < FEWEST_FAULTS:
        raise UsageError(f"--faults {args.faults}: allowed: {FEWEST_FAULTS} or more, to hold every kind")
    if args.broker:
        broker = msgspec.structs.replace(settings.broker, bootstrap=args.broker)
        settings = msgspec.structs.replace(settings, broker=broker)
    options = Options(events=args.events, faults=args.faults, seed=args.seed, json=args.json, keep=args.keep)
    return run(chaos_settings(find_broker(settings)), options)


COMMANDS = (
    Command(
        "chaos",
        "kill, stop and restart roles on a scratch cluster while events flow, then check every number",
        "ebbtide chaos --broker localhost:9092 --events 200000 --seed 7",
        _arguments,
        _run,
    ),
)
