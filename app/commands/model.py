"""`ebbtide model list|show|promote|rollback|auto`: which model is served, why, and changing it."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from app.commands.base import Command, positive_int
from app.errors import AppError, UsageError
from models.settings import Settings

if TYPE_CHECKING:
    from models.churn.control import Control
    from streams.steer import Told

_ACTIONS = ("list", "show", "promote", "rollback", "auto")
_WAIT_S = 30


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=_ACTIONS, help="list and show only look; the others change what is served")
    parser.add_argument("what", nargs="?", metavar="NAME_OR_VERSION", help="for show and promote: a model or a version")
    parser.add_argument(
        "--horizon", metavar="DAYS", help="days of one of label.other_horizons_days (the first horizon)"
    )
    parser.add_argument("--note", default="", metavar="TEXT", help="why, for the history")
    parser.add_argument(
        "--wait", type=positive_int, default=_WAIT_S, metavar="S", help="seconds to wait for the trainer (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="as a JSON object")


def _run(args: argparse.Namespace, settings: Settings) -> int:
    from app.broker import find_broker
    from streams.outside import BROKER_ERRORS

    settings, key = find_broker(settings), _key(settings, args.horizon)
    try:
        told = asyncio.run(_read(settings, key))
        if args.action in ("list", "show"):
            return _look(args, told)
        return _change(args, settings, told)
    except BROKER_ERRORS as error:
        raise AppError(f"cannot read or steer the model on {settings.broker.bootstrap!r}: {error!r}") from None


def _key(settings: Settings, horizon: str | None) -> str:
    from models.churn.record import label_key
    from models.labels import horizons_of

    label = settings.label
    allowed = {f"{days:g}": days for days in horizons_of(label)}
    if horizon is not None and horizon.removesuffix("d") not in allowed:
        raise UsageError(f"--horizon {horizon}: allowed: {', '.join(allowed)}")
    days = label.horizon_days if horizon is None else allowed[horizon.removesuffix("d")]
    return label_key(label.kind, days, label.gap_days)


async def _read(settings: Settings, key: str) -> Told:
    from streams.steer import read_models

    told = await read_models(settings.broker, key)
    if told is None:
        raise AppError(f"no model of {key!r} was published yet: {await _trainers(settings)}")
    return told


async def _trainers(settings: Settings) -> str:
    """Whether a trainer runs, in words."""
    from app.probe import ask_all

    answers = [answer for answer in await ask_all(settings) if answer.role == "trainer"]
    running = [f"a trainer runs at {one.url} ({one.reason or 'ready'})" for one in answers if one.up]
    asked = ", ".join(one.url for one in answers)
    return "; ".join(running) or f"no trainer runs (asked at {asked}); start one with `ebbtide trainer`"


def _look(args: argparse.Namespace, told: Told) -> int:
    from app import models_told

    if args.action == "list":
        if args.what:
            raise UsageError(f"`model list` takes no {args.what!r}: allowed: `model show {args.what}`")
        data: dict[str, Any] = models_told.listed(told)
        show = models_told.print_list
    else:
        data, show = models_told.shown(told, _version(args.what, told)), models_told.print_version
    if args.json:
        print(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode())
    else:
        show(data)
    return 0


def _version(what: str | None, told: Told) -> str:
    """The one version that is meant: the served one, a whole name, or the beginning of one."""
    if what is None:
        return told.history.served
    found = [version for version in told.records if version.startswith(what)]
    if what in found or len(found) == 1:
        return what if what in found else found[0]
    raise UsageError(f"version {what!r}: allowed: {', '.join(sorted(told.records))}")


def _change(args: argparse.Namespace, settings: Settings, told: Told) -> int:
    from streams.steer import command

    control = _control(args, told)
    answer = asyncio.run(command(settings.broker, control, args.wait))
    if answer is None:
        raise AppError(
            f"no answer within {args.wait} s: {asyncio.run(_trainers(settings))}; "
            "the command stays on topic 'examples' and is obeyed as soon as a trainer reads it"
        )
    if args.json:
        print(orjson.dumps(msgspec.to_builtins(answer), option=orjson.OPT_INDENT_2).decode())
    else:
        print(answer.text if answer.done else f"refused: {answer.text}")
    return 0 if answer.done else 1


def _control(args: argparse.Namespace, told: Told) -> Control:
    from models.churn.control import Control

    key = told.history.key
    if args.action != "promote":
        if args.what:
            raise UsageError(f"`model {args.action}` takes no {args.what!r}: allowed: `model promote {args.what}`")
        return Control(control=args.action, key=key, note=args.note)
    names = [one.name for one in told.history.standings]
    if args.what in names:
        return Control(control="promote", key=key, name=args.what, note=args.note)
    if args.what is None or not any(version.startswith(args.what) for version in told.records):
        raise UsageError(f"promote {args.what or ''}: allowed: {', '.join([*names, *sorted(told.records)])}")
    return Control(control="pin", key=key, version=_version(args.what, told), note=args.note)


COMMANDS = (
    Command(
        "model",
        "show which model is served and why, promote another one, or go back",
        "ebbtide model list",
        _arguments,
        _run,
    ),
)
