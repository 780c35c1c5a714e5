"""`ebbtide up`: every role and the console page, until Ctrl-C; `ebbtide console`: the page alone."""

from __future__ import annotations

import argparse

from app.commands.base import Command, no_arguments
from models.settings import Settings


def _up(_: argparse.Namespace, settings: Settings) -> int:
    from app.foreground import run_up

    return run_up(settings)


def _console(_: argparse.Namespace, settings: Settings) -> int:
    from app.foreground import run_console

    return run_console(settings)


COMMANDS = (
    Command(
        "up",
        "run every role and the console page, until Ctrl-C",
        "EBBTIDE_BROKER=localhost:9092 ebbtide up",
        no_arguments,
        _up,
    ),
    Command(
        "console",
        "serve the console page alone, for roles that run elsewhere",
        "EBBTIDE_HTTP_PEERS=worker=http://worker:8601 ebbtide console",
        no_arguments,
        _console,
    ),
)
