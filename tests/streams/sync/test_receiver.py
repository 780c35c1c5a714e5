from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import aiohttp
import pytest

from streams.destinations.base import InvalidDestination
from streams.destinations.contract.messages import Request
from streams.sync.http import Sender
from streams.sync.receiver import SECRET_VARIABLE, Step, WebhookReceiver, parse_plan
from tests.brokers import ROOT
from tests.streams.sync.support import OTHER_SECRET, SECRET, make_score, sync_settings, webhook_of


def signed(url: str, customer_id: str = "ada") -> Request:
    destination = webhook_of(sync_settings(url))
    return destination.build((destination.change(make_score(customer_id), "entered"),), time.time())


def test_repetitions_are_counted_and_dropped() -> None:
    """The same id is accepted once; the sender is told success each time."""

    async def play() -> tuple[list[int], dict[str, int]]:
        async with (
            WebhookReceiver(SECRET) as receiver,
            Sender(timeout_s=5.0, connections=1, allow_private=True) as sender,
        ):
            statuses = [(await sender.send(signed(receiver.url))).status for _ in range(3)]
            return statuses, receiver.counts()

    statuses, counts = asyncio.run(play())

    assert statuses == [204, 204, 204]
    assert counts == {"requests": 3, "accepted": 1, "duplicates": 2, "invalid": 0}


def test_unsigned_and_wrongly_signed_are_refused() -> None:
    """Nothing is accepted without a signature by the shared secret."""

    async def play() -> tuple[list[int], dict[str, int]]:
        async with WebhookReceiver(OTHER_SECRET) as receiver, aiohttp.ClientSession() as session:
            statuses = []
            request = signed(receiver.url)
            for headers in ({}, request.headers):
                async with session.post(receiver.url, data=request.body, headers=headers) as response:
                    statuses.append(response.status)
            return statuses, receiver.counts()

    statuses, counts = asyncio.run(play())

    assert statuses == [401, 401]
    assert counts == {"requests": 2, "accepted": 0, "duplicates": 0, "invalid": 2}


def test_newest_messages_are_kept_and_shown() -> None:
    """Only the newest messages are kept in memory, and the summary page shows them with the counts."""

    async def play() -> tuple[list[str], dict[str, object]]:
        async with (
            WebhookReceiver(SECRET, keep=3) as receiver,
            Sender(timeout_s=5.0, connections=1, allow_private=True) as sender,
        ):
            for number in range(5):
                await sender.send(signed(receiver.url, f"c{number}"))
            async with (
                aiohttp.ClientSession() as session,
                session.get(receiver.url.replace("/hook", "/")) as response,
            ):
                return [message.id for message in receiver.accepted], await response.json()

    ids, summary = asyncio.run(play())

    assert ids == ["msg_c2-1", "msg_c3-1", "msg_c4-1"]
    assert summary["accepted"] == 5
    assert [message["id"] for message in summary["newest"]] == ids  # type: ignore[attr-defined] # JSON


def test_plan_words() -> None:
    """A plan is read from words; unknown ones are refused with the known ones."""
    assert parse_plan("429:2, 500,hang,ok,") == [
        Step("status", 429, "2"),
        Step("status", 500),
        Step("hang"),
        Step("ok"),
    ]
    with pytest.raises(ValueError, match=r"unknown step 'explode'.*allowed: a status such as 429"):
        parse_plan("explode")


def test_malformed_secret_is_refused_at_once() -> None:
    """A receiver that could verify nothing is not started."""
    with pytest.raises(InvalidDestination):
        WebhookReceiver("nonsense")


def test_command_serves_until_told_to_stop() -> None:
    """The command prints where it listens, follows its plan, and prints the counts at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "streams.sync.receiver", "--plan", "503"],
        cwd=ROOT, env=os.environ | {SECRET_VARIABLE: SECRET, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None

        url = process.stdout.readline().split()[-1]

        async def play() -> list[int]:
            async with Sender(timeout_s=5.0, connections=1, allow_private=True) as sender:
                return [(await sender.send(signed(url))).status for _ in range(2)]

        statuses = asyncio.run(play())
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=15.0)
    finally:
        process.kill()

    assert statuses == [503, 204]
    assert json.loads(output) == {"requests": 2, "accepted": 1, "duplicates": 0, "invalid": 0}
    assert (process.returncode, errors) == (0, "")


def test_command_refuses_without_secret() -> None:
    """Without a secret the command ends with a usage error that says what is allowed."""
    done = subprocess.run(
        [sys.executable, "-m", "streams.sync.receiver"],
        cwd=ROOT, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=30.0, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "24 to 64 random bytes" in done.stderr
