"""`ebbtide topics create|check`: the topics of this deployment."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import msgspec
import orjson

from app.commands.base import Command
from app.errors import AppError
from models.settings import BrokerSettings, Settings


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("create", "check"), help="create what is missing, or only compare")
    parser.add_argument("--json", action="store_true", help="as a JSON object")


def _run(args: argparse.Namespace, settings: Settings) -> int:
    from app.broker import find_broker
    from streams.topics import TopicsUnavailable

    broker = find_broker(settings).broker
    try:
        report = asyncio.run(_look(broker, create=args.action == "create"))
    except TopicsUnavailable as error:
        raise AppError(str(error)) from None
    print(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode() if args.json else _text(report, args.action))
    return 0 if report["ok"] else 1


async def _look(broker: BrokerSettings, *, create: bool) -> dict[str, Any]:
    """What was created, what differs, and whether the roles would start."""
    from streams.topic_checks import check_topics
    from streams.topics import create_topics, topic_specs

    created = await create_topics(broker) if create else []
    found = await check_topics(broker)
    return {
        "broker": broker.bootstrap,
        "topics": [spec.name for spec in topic_specs(broker)],
        "created": created,
        "differences": [msgspec.to_builtins(one) for one in found],
        "ok": not any(one.harmful for one in found),
    }


def _text(report: dict[str, Any], action: str) -> str:
    lines = [f"created: {name}" for name in report["created"]]
    if action == "create" and not lines:
        lines = ["nothing to create"]
    lines += [f"{'wrong' if one['harmful'] else 'note'}: {one['text']}" for one in report["differences"]]
    wrong = sum(one["harmful"] for one in report["differences"])
    verdict = f"{wrong} of them must be put right before a role starts" if wrong else "the roles can start"
    lines.append(
        f"{len(report['topics'])} topics on {report['broker']}, "
        f"{len(report['differences'])} difference(s) from the settings: {verdict}"
    )
    return "\n".join(lines)


COMMANDS = (
    Command(
        "topics",
        "create the topics, or check them against the settings",
        "EBBTIDE_BROKER=localhost:9092 ebbtide topics create",
        _arguments,
        _run,
    ),
)
