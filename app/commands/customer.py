"""`ebbtide customer ID`: what is known of one customer, from the newest snapshot and the worker that holds it."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson

from app.commands.base import Command
from app.errors import AppError
from app.words import amount, reason_line
from models.records import Reason
from models.settings import Settings


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="customer id: the events' userId, or anonymous:ANONYMOUS_ID")
    parser.add_argument("--json", action="store_true", help="as JSON, with the worker's whole state")


def _run(args: argparse.Namespace, settings: Settings) -> int:
    from app.probe import ask_customer

    score, snapshot, problem = _score(settings, args.id)
    state = asyncio.run(ask_customer(settings, args.id))
    if score is None and state is None:
        raise AppError(f"no customer {args.id!r}: {problem}, and no running worker holds it")
    if args.json:
        data = {"customer_id": args.id, "score": score, "snapshot": snapshot, "state": state}
        print(orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str).decode())
        return 0
    for line in _score_lines(score) if score else [f"no score yet: {problem}"]:
        print(line)
    for line in _state_lines(score, state):
        print(line)
    return 0


def _score(settings: Settings, customer_id: str) -> tuple[dict[str, Any] | None, str | None, str]:
    """The newest score, the snapshot it is from, and why there is none."""
    from streams.warehouse import query
    from streams.warehouse.errors import NoSnapshot
    from streams.warehouse.snapshot import newest

    path: Path | None = None
    for _ in range(3):  # a snapshot can be replaced and removed between the two calls
        try:
            path = newest(settings.data_dir)
            return query.customer(path, customer_id), str(path), f"not in snapshot {str(path)!r}"
        except NoSnapshot as error:
            problem = str(error)
    return None, None, problem


def _score_lines(score: dict[str, Any]) -> Iterator[str]:
    chance = f"{score['probability']:.1%} to leave within {score['horizon_days']:g} days, {_band(score)}"
    yield f"{score['customer_id']}: {chance if score['eligible'] else 'has left, or was silent for too long'}"
    yield (
        f"  scored {score['scored_at']} as of {score['as_of']}, revision {score['revision']}, "
        f"model {score['model_name']} {score['model_version']}, at or above {score['percentile']:.0f}% of customers"
    )
    yield "reasons"
    for reason in score["reasons"] or ():
        yield f"  {reason['rank']}. {reason_line(msgspec.convert(reason, Reason))}"
    yield "features"
    for name, value in score["features"].items():
        yield f"  {name:<28} {amount(name, value)}"
    if len(score["history"]) > 1:
        yield "history"
        yield from (f"  {one['as_of']}  {one['probability']:6.1%}  {one['band']}" for one in score["history"])


def _band(score: dict[str, Any]) -> str:
    if not score["eligible"]:
        return f"band {score['band']} (has left, or is not in the cohort)"
    return f"band {score['band']}" + (", likely to churn" if score["likelihood_to_churn"] else "")


def _state_lines(score: dict[str, Any] | None, state: dict[str, Any] | None) -> Iterator[str]:
    if state is None:
        yield "state: no running worker answered for this customer"
        return
    yield f"state: held by a running worker, partition {state.get('partition', '?')} (all of it with --json)"
    features = state.get("features")
    if score is None and isinstance(features, dict):
        yield from (f"  {name:<28} {amount(name, value)}" for name, value in features.items() if value is not None)


COMMANDS = (
    Command(
        "customer",
        "show one customer's newest score, reasons, features and state",
        "ebbtide customer customer-00042 --json",
        _arguments,
        _run,
    ),
)
