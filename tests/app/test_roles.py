from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import msgspec
import pytest

from app import notes
from app.broker import find_broker, own_broker
from app.errors import NoBrokerError, UsageError
from app.probe import ask_all, ask_customer
from app.settings import to_env
from models.settings import Settings
from streams.topics import create_topics
from tests.app.tools import child_env, free_ports, wait_until, with_broker

CODE = """
import os, sys
from app.roles import run_role
from app.settings import load
sys.exit(run_role("worker", load(os.environ), {"worker": "tests.app.role_samples:" + sys.argv[1]}))
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Settings with an embedded broker that lives as long as this module's tests."""
    with own_broker(free_ports(tmp_path_factory.mktemp("roles"))) as (connected, _):
        yield connected


class RoleProcess:
    """One role in a child process, and what it wrote."""

    def __init__(self, role: str, settings: Settings, log) -> None:
        self.log = log
        with log.open("wb") as stream:
            command = (sys.executable, "-c", CODE, role)
            env = child_env() | to_env(settings)
            self.process = subprocess.Popen(command, stdout=stream, stderr=stream, env=env)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.process.kill()
        self.process.wait()

    def text(self) -> str:
        return self.log.read_text()

    def ends(self) -> int:
        return self.process.wait(timeout=20)


def ready(settings):
    """The worker's answer, once it is ready."""

    async def wait():
        async with asyncio.timeout(20):
            while True:
                answers = await ask_all(settings)
                found = next(answer for answer in answers if answer.role == "worker")
                if found.ready:
                    return found
                await asyncio.sleep(0.02)

    return asyncio.run(wait())


def test_a_role_serves_drains_and_leaves_nothing(settings, tmp_path):
    """A role announces its server, drains on SIGTERM, ends with 0 and takes its note away."""
    with RoleProcess("Quiet", settings, tmp_path / "log") as role:
        answer = ready(settings)
        customer = asyncio.run(ask_customer(settings, "a/b c"))
        role.process.send_signal(signal.SIGTERM)

        assert role.ends() == 0
    assert answer.status["pid"] == role.process.pid
    assert customer == {"customer_id": "a/b c"}
    assert "drained" in role.text()
    assert notes.running_roles(settings) == []


def test_topics_exist_once_a_role_runs(settings, tmp_path):
    """The first role creates what is missing, so a fresh broker needs no preparation."""
    from streams.topic_checks import check_topics

    with RoleProcess("Quiet", settings, tmp_path / "log"):
        ready(settings)

        assert asyncio.run(check_topics(settings.broker)) == []


def test_topics_that_would_misplace_data_are_refused_for_good(settings, tmp_path):
    """A wrong partition count ends the role with 2, which no supervisor restarts, also where it may create topics."""
    asyncio.run(create_topics(settings.broker))
    other = msgspec.structs.replace(settings, broker=msgspec.structs.replace(settings.broker, partitions=3))
    with RoleProcess("Quiet", other, tmp_path / "log") as role:
        assert role.ends() == 2

    assert "has 4 partition(s), needed: 3" in role.text()


def test_a_failing_role_logs_one_line_and_ends_with_1(settings, tmp_path):
    """What a role raises is one line of the log, traceback included, and exit status 1."""
    with RoleProcess("Broken", settings, tmp_path / "log") as role:
        assert role.ends() == 1

    (line,) = [line for line in role.text().splitlines() if "role failed" in line]
    assert "Traceback" in line
    assert "RuntimeError: cannot go on | second line" in line


def test_a_role_that_ends_by_itself_has_failed(settings, tmp_path):
    """Returning without a stop is not a clean end."""
    with RoleProcess("Short", settings, tmp_path / "log") as role:
        assert role.ends() == 1

    assert "worker ended without being asked to" in role.text()


def test_a_second_signal_ends_a_stuck_role(settings, tmp_path):
    """An operator who presses Ctrl-C twice gets out."""
    with RoleProcess("Stuck", settings, tmp_path / "log") as role:
        ready(settings)
        role.process.send_signal(signal.SIGINT)
        wait_until(lambda: "stuck" in role.text())
        role.process.send_signal(signal.SIGINT)

        assert role.ends() == 128 + signal.SIGINT


def test_a_role_waits_for_its_broker_and_can_be_stopped_meanwhile(tmp_path):
    """Without a broker a role is not ready, says why, and still stops cleanly."""
    nobody = with_broker(free_ports(tmp_path), "127.0.0.1:1")
    with RoleProcess("Quiet", nobody, tmp_path / "log") as role:
        wait_until(lambda: "broker not ready" in role.text())
        (answer, *_) = asyncio.run(ask_all(nobody))
        role.process.send_signal(signal.SIGTERM)

        assert role.ends() == 0
    assert (answer.up, answer.ready, answer.reason) == (True, False, "starting: no progress yet")


def test_secrets_are_masked_in_the_first_log_line(settings, tmp_path):
    """The settings are logged once at the start, without secrets."""
    secret = Settings(
        data_dir=settings.data_dir, broker=settings.broker, http=settings.http,
        sync=type(settings.sync)(webhook_secret="whsec_abc"),
    )  # fmt: skip
    with RoleProcess("Short", secret, tmp_path / "log") as role:
        role.ends()

    assert "sync.webhook_secret=***" in role.text()
    assert "whsec_abc" not in role.text()


def test_others_find_the_embedded_broker_and_cannot_start_a_second(settings):
    """While one process embeds a broker, others with the same data directory use it."""
    without = with_broker(settings, "")

    assert find_broker(without).broker.bootstrap == settings.broker.bootstrap
    in_use = f"is in use: process {os.getpid()} runs the embedded broker"
    with pytest.raises(UsageError, match=in_use), own_broker(without):
        pass


def test_without_any_broker_the_way_out_is_named(tmp_path):
    """No broker anywhere is refused with what to do."""
    with pytest.raises(NoBrokerError, match="no broker: set EBBTIDE_BROKER or start `ebbtide up`"):
        find_broker(free_ports(tmp_path))


def test_the_note_of_a_dead_or_silent_broker_does_not_count(tmp_path):
    """A broker whose owner died is not used; one that does not answer is said to be so."""
    settings = free_ports(tmp_path)

    def refused(pid, reason):
        note = notes.BrokerNote("127.0.0.1:1", pid)
        with notes.left(notes.broker_path(settings), note), pytest.raises(NoBrokerError, match=reason):
            find_broker(settings)

    beyond_any_pid = 2**30
    refused(beyond_any_pid, "no broker: set EBBTIDE_BROKER")
    refused(os.getpid(), "which does not answer")


def test_a_named_broker_is_never_replaced(tmp_path):
    """With EBBTIDE_BROKER set nothing is started and nothing noted."""
    settings = with_broker(free_ports(tmp_path), "kafka:9092")

    with own_broker(settings) as (connected, embedded):
        assert (connected, embedded) == (settings, None)
    assert find_broker(settings) == settings
    assert not notes.broker_path(settings).exists()
