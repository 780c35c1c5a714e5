"""`ebbtide destinations list|check|plan|pause|resume|redrive`: where scores go, and what waits there."""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from app.commands.base import Command
from app.errors import AppError, UsageError
from models.settings import Settings

if TYPE_CHECKING:
    from streams.destinations.base import Destination
    from streams.sync.plan import Plan

_ACTIONS = {
    "list": "what is configured, and what it was told",
    "check": "read the secrets and show an example request",
    "plan": "what would be sent now, without sending it",
    "pause": "send nothing until resumed; scores wait",
    "resume": "go on sending",
    "redrive": "try dead letters again, those whose score is still the newest",
}
_SHOWN_CHARS = 600


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=tuple(_ACTIONS), help="; ".join(f"{k}: {v}" for k, v in _ACTIONS.items()))
    parser.add_argument("name", nargs="?", help="the destination; without it list, check and plan look at all")
    parser.add_argument("--reason", default="paused by the operator", metavar="TEXT", help="why, for pause")
    parser.add_argument("--dry-run", action="store_true", help="for redrive: only count")
    parser.add_argument("--json", action="store_true", help="as a JSON array")


def _run(args: argparse.Namespace, settings: Settings) -> int:
    from streams.destinations import configured
    from streams.destinations.base import InvalidDestination

    if args.action in ("pause", "resume", "redrive") and not args.name:
        raise UsageError(f"destinations {args.action} needs the name of a destination")
    try:
        found = configured(settings, os.environ)
    except InvalidDestination as error:
        raise UsageError(str(error)) from None
    if args.name is not None and args.name not in found:
        raise UsageError(f"no destination {args.name!r}, configured: {', '.join(found) or 'none'}")
    chosen = [one for name, one in found.items() if args.name in (None, name)]
    if not chosen:
        raise UsageError("no destination is configured; see [destinations.NAME] or sync.webhook_url in `settings`")
    rows = list(_do(args, settings, chosen))
    if args.json:
        print(orjson.dumps([row for row, _ in rows], option=orjson.OPT_INDENT_2).decode())
    else:
        print("\n".join(line for _, line in rows))
    return 0


def _do(
    args: argparse.Namespace, settings: Settings, chosen: list[Destination[Any]]
) -> Iterator[tuple[dict[str, Any], str]]:
    """One row per destination: as plain data, and as text."""
    if args.action == "plan":
        yield from _plans(settings, chosen)
        return
    for destination in chosen:
        if args.action == "list":
            yield _listed(destination, settings)
        elif args.action == "check":
            yield _checked(destination)
        elif args.action == "redrive":
            yield _redriven(destination, settings, dry_run=args.dry_run)
        else:
            yield _paused(destination, settings, args)


def _listed(destination: Destination[Any], settings: Settings) -> tuple[dict[str, Any], str]:
    from streams.sync import pauses
    from streams.sync.ledger import figures_of

    figures = figures_of(pauses.ledger_path(settings, destination.name))
    paused, last = pauses.reason(settings, destination.name), figures.last_delivered_at
    row = {
        "name": destination.name,
        "type": destination.kind,
        "mode": destination.options.mode,
        "endpoint": destination.endpoint,
        "paused": paused,
        **msgspec.structs.asdict(figures),
    }
    told = "never" if last is None else datetime.fromtimestamp(last, UTC).isoformat(timespec="seconds")
    text = (
        f"{destination.name}  {destination.kind}, {destination.options.mode}, {destination.endpoint}\n"
        f"    {figures.accepted:,} customers told, {figures.open:,} open, {figures.dead:,} dead, last: {told}"
    )
    return row, text + (f"\n    PAUSED: {paused}" if paused else "")


def _checked(destination: Destination[Any]) -> tuple[dict[str, Any], str]:
    from streams.destinations.contract.example import EXAMPLE

    change = destination.change(EXAMPLE, "entered")
    if not change.id:
        raise UsageError(f"{destination.name}: the identifier is unknown for the example customer")
    request = destination.build([change], time.time())
    limits = destination.limits
    windows = [f"{window.requests:,} in {window.seconds:g} s" for window in limits.windows]
    row: dict[str, Any] = {
        "name": destination.name,
        "type": destination.kind,
        "request": f"{request.method} {destination.endpoint}",
        "rows": limits.rows,
        "bytes": limits.bytes,
        "windows": windows,
        "body": request.body.decode(),
    }
    text = (
        f"{destination.name}  {row['request']}, up to {limits.rows:,} customers and {limits.bytes:,} bytes a request, "
        f"{' and '.join(windows) or 'no rate limit known'}\n    {row['body'][:_SHOWN_CHARS]}"
    )
    return row, text


def _plans(settings: Settings, chosen: list[Destination[Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    from app.broker import find_broker
    from streams.outside import BROKER_ERRORS
    from streams.sync.plan import newest_scores, plan

    settings = find_broker(settings)
    try:
        scores = asyncio.run(newest_scores(settings))
    except BROKER_ERRORS as error:
        raise AppError(f"cannot read scores on {settings.broker.bootstrap!r}: {error!r}") from None
    for destination in chosen:
        planned = plan(destination, settings, scores)
        yield msgspec.to_builtins(planned), _plan_text(planned)


def _plan_text(planned: Plan) -> str:
    def counts(found: dict[str, int]) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in sorted(found.items())) or "none"

    lines = [
        f"{planned.destination}  {planned.mode}, {planned.customers:,} customers",
        f"    would be sent: {counts(planned.changes)}",
        f"    no news:       {counts(planned.skipped)}",
        f"    in {planned.requests:,} requests of {planned.bytes:,} bytes, {planned.seconds:,.0f} s at the least",
    ]
    if planned.hopeless:
        lines.append(f"    impossible:    {counts(planned.hopeless)}")
    if planned.example:
        lines.append(f"    the first:     {planned.example[:_SHOWN_CHARS]}")
    return "\n".join(lines)


def _paused(
    destination: Destination[Any], settings: Settings, args: argparse.Namespace
) -> tuple[dict[str, Any], str]:  # fmt: skip
    from streams.sync import pauses

    if args.action == "pause":
        pauses.pause(settings, destination.name, args.reason)
        return {"name": destination.name, "paused": args.reason}, f"{destination.name} is paused: {args.reason}"
    was = pauses.resume(settings, destination.name)
    return {"name": destination.name, "paused": ""}, f"{destination.name} {'goes on' if was else 'was not paused'}"


def _redriven(destination: Destination[Any], settings: Settings, *, dry_run: bool) -> tuple[dict[str, Any], str]:
    from streams.sync import pauses
    from streams.sync.ledger import Ledger, figures_of

    path = pauses.ledger_path(settings, destination.name)
    dead = figures_of(path).dead
    if dead and not dry_run:
        with Ledger(path, destination.identity) as ledger:
            dead = ledger.revive(time.time())
    row = {"name": destination.name, "dead": dead, "redriven": not dry_run}
    told = "would be tried again" if dry_run else "are tried again"
    return row, f"{destination.name}: {dead:,} customers {told}, each with the newest score"


COMMANDS = (
    Command(
        "destinations",
        "show, check, plan, pause, resume and redrive where scores go",
        "ebbtide destinations list",
        _arguments,
        _run,
    ),
)
