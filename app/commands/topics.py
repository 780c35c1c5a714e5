"""`ebbtide topics create|check`: the topics of this deployment."""

from __future__ import annotations

import argparse
import asyncio

from app.commands.base import Command
from app.errors import AppError
from models.settings import Settings


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("create", "check"), help="create what is missing, or only compare")


def _run(args: argparse.Namespace, settings: Settings) -> int:
    from app.broker import find_broker
    from streams.topics import TopicsUnavailable, check_topics, create_topics

    broker = find_broker(settings).broker
    try:
        if args.action == "create":
            created = asyncio.run(create_topics(broker))
            print(f"created: {', '.join(created)}" if created else "nothing to create")
        problems = asyncio.run(check_topics(broker))
    except TopicsUnavailable as error:
        raise AppError(str(error)) from None
    for problem in problems:
        print(problem)
    if problems:
        raise AppError(f"{len(problems)} difference(s) between the topics on {broker.bootstrap} and the settings")
    print(f"topics on {broker.bootstrap} are as the settings say")
    return 0


COMMANDS = (
    Command(
        "topics",
        "create the topics, or check them against the settings",
        "EBBTIDE_BROKER=localhost:9092 ebbtide topics create",
        _arguments,
        _run,
    ),
)
