"""`ebbtide worker|trainer|warehouse|sync`: one role in this process."""

from __future__ import annotations

import argparse
from functools import partial

from app.commands.base import Command
from models.settings import Settings

_SUMMARIES = {
    "worker": "keep the features and emit scores; start more of them to share the partitions",
    "trainer": "learn from matured examples and publish the model; one at a time",
    "warehouse": "write scores to DuckDB and publish snapshots; one at a time",
    "sync": "send scores to the webhook",
}


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)


def _run(role: str, args: argparse.Namespace, settings: Settings) -> int:
    from app.broker import find_broker
    from app.roles import run_role

    if args.supervised:
        from app.lifeline import watch

        watch()
    return run_role(role, find_broker(settings))


COMMANDS = tuple(
    Command(role, summary, f"EBBTIDE_BROKER=localhost:9092 ebbtide {role}", _arguments, partial(_run, role))
    for role, summary in _SUMMARIES.items()
)
