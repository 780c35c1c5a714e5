"""The commands `destinations` and `emulate`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from app.cli import main
from models.settings import Settings
from streams.destinations import configured
from streams.destinations.webhook import Webhook
from streams.embedded import EmbeddedBroker
from streams.emulators.braze import BrazeEmulator
from streams.sync import pauses
from streams.sync.ledger import Accepted, Attempt, Ledger
from streams.topics import create_topics
from tests.brokers import ROOT, broker_settings
from tests.streams.sync.support import make_score
from tests.streams.sync.test_role import publish, quick, running

CONFIG = """
data_dir = "{folder}"
[destinations.crm]
type = "braze"
url = "{url}"
api_key = {{ env = "CRM_KEY" }}
allow_private = true
linger_s = 0.05
[destinations.crm.fields]
churn = "probability * 100 | round(1)"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CRM_KEY", "s3cr3t")
    path = tmp_path / "ebbtide.toml"
    path.write_text(CONFIG.format(folder=tmp_path / "data", url="https://rest.example.com"))
    return str(path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_check_shows_the_request_and_no_secret(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An operator sees what would be sent, by which limits, with the own mapping, and never the key."""
    status, text = said(capsys, "destinations", "check", "--config", config)

    assert status == 0
    assert '"churn":62.0' in text
    assert "up to 75 customers" in text
    assert "s3cr3t" not in text


def test_faults_of_destinations_are_faults_of_the_settings(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong option stops every command, and names the option; a missing secret stops those that need it."""
    path = Path(config)
    path.write_text(path.read_text().replace("round(1)", "round"))
    status, text = said(capsys, "settings", "--config", config)

    assert status == 2
    assert "destinations.crm.fields.churn" in text

    path.write_text(path.read_text().replace("| round", "").replace("CRM_KEY", "NOT_SET"))

    assert said(capsys, "settings", "--config", config)[0] == 0

    status, text = said(capsys, "destinations", "list", "--config", config)

    assert status == 2
    assert "'NOT_SET' is not set" in text


def test_pause_holds_until_resume(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A pause has a reason that the list shows, and ends by resume."""
    said(capsys, "destinations", "pause", "crm", "--reason", "price change", "--config", config)

    assert "PAUSED: price change" in said(capsys, "destinations", "list", "--config", config)[1]
    assert "goes on" in said(capsys, "destinations", "resume", "crm", "--config", config)[1]
    assert "was not paused" in said(capsys, "destinations", "resume", "crm", "--config", config)[1]
    assert "PAUSED" not in said(capsys, "destinations", "list", "--config", config)[1]


def test_list_and_redrive_count_what_the_ledger_knows(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Accepted, open and dead customers are told; a redrive revives the dead, a dry run only counts them."""
    table = {"type": "braze", "url": "https://rest.example.com", "api_key": {"env": "CRM_KEY"}}
    destination = configured(Settings(destinations={"crm": table}), os.environ)["crm"]
    path = pauses.ledger_path(Settings(data_dir=str(tmp_path / "data")), "crm")
    with Ledger(path, destination.identity) as ledger:
        ledger.note_accepted(Accepted("ada", "h", True, "high", "s", 1, "t", 5.0))
        ledger.note_attempt(Attempt("bob", "s2", 1.0, 3, None, True), Attempt("eve", "s3", 1.0, 3, None, False))
    arguments = ("--json", "--config", config)
    (row,) = json.loads(said(capsys, "destinations", "list", *arguments)[1])

    assert (row["accepted"], row["open"], row["dead"]) == (1, 1, 1)

    for option, dead in (("--dry-run", 1), ("--json", 1), ("--json", 0)):
        (row,) = json.loads(said(capsys, "destinations", "redrive", "crm", option, *arguments)[1])

        assert row["dead"] == dead


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pause",), "needs the name"),
        (("list", "crn"), "no destination 'crn', configured: crm"),
        (("plan",), "no broker"),
    ],
)
def test_mistakes_are_one_line(
    config: str, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that cannot work says why."""
    status, text = said(capsys, "destinations", *arguments, "--config", config)

    assert status == 2
    assert message in text
    assert text.count("\n") == 1


def test_operator_plans_pauses_and_redrives(
    embedded_broker: EmbeddedBroker, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A plan tells what then is sent; a pause stops it; refused rows are sent by a redrive once the vendor takes them,
    each with the newest score alone.
    """
    monkeypatch.setenv("EMULATED_KEY", "emulated-key")
    broker = quick(broker_settings(embedded_broker))
    refused = {"c3"}

    def operate(*arguments: str) -> str:
        env = {"EBBTIDE_BROKER": broker.bootstrap, "EBBTIDE_BROKER_TOPIC_PREFIX": broker.topic_prefix}
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return said(capsys, "destinations", *arguments, "--config", str(tmp_path / "e.toml"))[1]

    async def play() -> None:
        await create_topics(broker)
        async with BrazeEmulator(refuse=lambda who: who in refused) as emulator:
            table = emulator.options() | {"linger_s": 0.05}
            text = CONFIG.format(folder=tmp_path / "data", url=emulator.url).replace("CRM_KEY", "EMULATED_KEY")
            (tmp_path / "e.toml").write_text(text)
            table |= {"fields": {"churn": "probability * 100 | round(1)"}}
            settings = Settings(broker=broker, data_dir=str(tmp_path / "data"), destinations={"crm": table})
            await publish(broker, [make_score(f"c{n}") for n in range(10)])
            planned = await asyncio.to_thread(operate, "plan", "crm")

            assert "would be sent: 10 entered" in planned
            assert emulator.requests == 0

            await asyncio.to_thread(operate, "pause", "crm")
            async with running(settings) as role:
                await role.until(lambda: role.telemetry.status.get("destinations", {}).get("crm", {}).get("alarm"))
                await role.until(lambda: role.telemetry.status["pending"] == 10)

                assert emulator.requests == 0

                await asyncio.to_thread(operate, "resume", "crm")
                await role.until(lambda: len(emulator.profiles) == 9)
                await role.until(lambda: role.telemetry.status["pending"] == 0)
                await publish(broker, [make_score("c3", revision=2, band="critical", probability=0.9)])
                await role.until(lambda: role.telemetry.status["deliveries"].get("refused") == 2)
                refused.clear()

                assert "1 customers are tried again" in await asyncio.to_thread(operate, "redrive", "crm")

                await role.until(lambda: len(emulator.profiles) == 10)

            assert emulator.profiles["c3"] == {"churn": 90.0}
            assert emulator.requests == 3

    asyncio.run(play())


def test_emulator_serves_until_it_is_stopped() -> None:
    """The command prints settings that work, serves, and ends by a signal with its counts."""
    child = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "emulate", "segment"], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert child.stdout is not None

        printed = ""
        while "write_key" not in printed:
            printed += child.stdout.readline()
        child.send_signal(signal.SIGTERM)
        rest, _ = child.communicate(timeout=20)
    finally:
        child.kill()
        child.wait()

    assert re.search(r'url = "http://127\.0\.0\.1:\d+"', printed)
    assert 'write_key = { env = "EMULATED_KEY" }' in printed
    assert json.loads(rest)["requests"] == 0


def test_webhook_from_the_environment_is_a_destination_too() -> None:
    """The variables of the webhook still make a destination of that name."""
    sync = msgspec.structs.replace(Settings().sync, webhook_url="https://x.example", webhook_secret="whsec_" + "A" * 44)

    assert isinstance(configured(Settings(sync=sync), {})["webhook"], Webhook)
