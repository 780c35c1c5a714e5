from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from models.settings import Settings, SyncSettings
from streams.destinations import configured
from streams.destinations.base import Destination
from streams.destinations.contract.messages import Reply
from streams.emulators.slack import SlackEmulator
from tests.streams.sync.support import make_score, running, until


def slack(emulator: SlackEmulator, **options: Any) -> Destination[Any]:
    table = emulator.options() | options
    return configured(Settings(destinations={"slack": table}), emulator.environ())["slack"]


def text(*kinds: Any, customer: str = "ada") -> str:
    destination = configured(
        Settings(destinations={"s": {"type": "slack", "webhook": {"env": "A"}}}),
        {"A": "https://hooks.slack.com/services/T0/B0/x"},
    )["s"]
    changes = [destination.change(make_score(f"{customer}{n}"), kind) for n, kind in enumerate(kinds)]
    return str(json.loads(destination.build(changes, 0.0).body)["text"])


def test_digest_groups_who_enters_and_leaves() -> None:
    """The message has a heading with a count for each kind of news, and a line per customer with the first reason."""
    lines = text("entered", "exited", "entered").split("\n")

    assert lines[0] == "*2 customers likely to leave*"
    assert lines[1] == "• ada0: band high, score 50, why no order for 40 days"
    assert lines[3] == "*1 customer no longer likely to leave*"


def test_customers_cannot_mention_anybody() -> None:
    """An id that looks like a mention or link stays text."""
    assert "<!channel>" not in text("entered", customer="<!channel>&")


def test_missing_channel_keeps_the_news() -> None:
    """A webhook that is not there is no fault of a row: everything waits for a human."""
    destination = configured(
        Settings(destinations={"s": {"type": "slack", "webhook": {"env": "A"}}}),
        {"A": "https://hooks.slack.com/services/T0/B0/x"},
    )["s"]

    assert destination.verdict(Reply(404, {}, b"no_service", 0.0), []).kind == "auth"


def test_news_of_many_customers_are_few_messages(tmp_path: Path) -> None:
    """A hundred customers are three messages, within the rate that Slack allows."""

    async def play() -> SlackEmulator:
        async with SlackEmulator() as emulator:
            destination = slack(emulator, linger_s=0.2)
            async with running(SyncSettings(timeout_s=5.0), tmp_path, destination=destination) as bench:
                bench.feed(*(make_score(f"c{number}") for number in range(100)))
                await until(lambda: bench.settled == 100)
        return emulator

    emulator = asyncio.run(play())
    told = "\n".join(event["name"] for event in emulator.events)

    assert (len(emulator.events), emulator.throttled) == (3, 0)
    assert all(f"c{number}:" in told for number in range(100))
