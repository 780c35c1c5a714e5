"""`ebbtide demo`: the whole way of an event, once, on this machine, with its figures at the end."""

from __future__ import annotations

import argparse

from app.commands.base import Command, positive_int
from models.settings import Settings


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--real", action="store_true", help="the real data of Complete Journey instead of the simulator"
    )
    parser.add_argument("--json", metavar="PATH", help="also write the figures to this file")
    parser.add_argument("--customers", type=positive_int, metavar="N", help="customers to simulate")
    parser.add_argument("--days", type=positive_int, metavar="N", help="days to simulate")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the simulator; the same seed, the same shop")
    parser.add_argument("--keep", action="store_true", help="stay after the figures, until Ctrl-C")


def _run(args: argparse.Namespace, settings: Settings) -> int:
    import app.demo

    return app.demo.run(args, settings)


COMMANDS = (
    Command(
        "demo",
        "show everything working: simulated events in, explained scores out",
        "ebbtide demo --customers 500 --json figures.json",
        _arguments,
        _run,
    ),
)
