"""`ebbtide settings`: every setting with its value, default, variable and meaning; secrets masked."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import msgspec

from app.commands.base import Command
from app.settings import Row, describe
from models.settings import Settings


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as a JSON array")


def _run(args: argparse.Namespace, settings: Settings) -> int:
    rows = describe(settings)
    if args.json:
        print(json.dumps([msgspec.to_builtins(row) for row in rows], indent=2))
        return 0
    if sys.stdout.isatty():
        _print_table(rows)
        return 0
    for row in rows:
        print(f"{row.name} = {row.value or '(empty)'}  [{row.env}, default {row.default or '(empty)'}] {row.help}")
    return 0


def _print_table(rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("setting", "value", "default", "environment", "meaning", row_styles=["", "dim"])
    for row in rows:
        value = Text(row.value, style="bold yellow" if row.value != row.default else "")
        table.add_row(Text(row.name), value, Text(row.default), Text(row.env), Text(row.help))
    Console().print(table)


COMMANDS = (
    Command("settings", "show every setting with its value and meaning", "ebbtide settings --json", _arguments, _run),
)
