"""The command line `ebbtide`: reads the arguments and settings, runs one command, and turns errors into one line.

Exit status: 0 fine, 1 a part failed, 2 wrong arguments or settings, 130 ended by Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

import msgspec

from app.commands import COMMANDS
from app.errors import AppError, SettingsError
from app.settings import load
from models.settings import Settings

_INTERRUPTED = 130
_LEVELS = ("debug", "info", "warning", "error")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage in front."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see `{self.prog} --help`)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; the entry point of the `ebbtide` script."""
    args = build_parser().parse_args(argv)
    try:
        settings = load(os.environ, getattr(args, "config", None))
        if "log_level" in args:
            settings = msgspec.structs.replace(settings, log_level=args.log_level)
        return _run(args, settings)
    except SettingsError as error:
        return _complain(error.exit_code, *error.faults)
    except AppError as error:
        return _complain(error.exit_code, str(error))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, less) is gone: nothing more to say, and not on this stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command."""
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--config", metavar="FILE", help="settings file in TOML (default: EBBTIDE_CONFIG)")
    common.add_argument("--log-level", choices=_LEVELS, help="least severe log record (default: log_level)")
    parser = _Parser(
        prog="ebbtide",
        parents=[common],
        description="A streaming churn predictor: Kafka events in, explained churn scores out, learned online.",
        epilog="Try `ebbtide demo`. Settings come from a TOML file and EBBTIDE_* variables: see `ebbtide settings`.",
    )
    parser.add_argument("--version", action="version", version=f"ebbtide {_version()}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(
            command.name,
            parents=[common],
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
            epilog=f"example:\n  {command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def _run(args: argparse.Namespace, settings: Settings) -> int:
    status: int = args.run(args, settings)
    sys.stdout.flush()
    return status


def _complain(status: int, *messages: str) -> int:
    for message in messages:
        print(f"ebbtide: {' '.join(message.split())}", file=sys.stderr)
    return status


def _version() -> str:
    try:
        return version("ebbtide")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
