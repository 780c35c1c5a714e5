"""A role that is alive and does not move is ended with its stacks told; one that is idle lives."""

from __future__ import annotations

import itertools
import os
import signal
import time
from types import SimpleNamespace

import msgspec
import pytest

from app.broker import own_broker
from app.watchdog import Watchdog
from streams.telemetry import Telemetry
from tests.app.test_roles import RoleProcess, ready
from tests.app.tools import free_ports

LIMIT_S = 1.0


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """An embedded broker, and little patience with roles that do not move."""
    with own_broker(free_ports(tmp_path_factory.mktemp("watchdog"))) as (connected, _):
        worker = msgspec.structs.replace(connected.worker, exit_after_s=LIMIT_S, stall_after_s=LIMIT_S / 2)
        yield msgspec.structs.replace(connected, worker=worker)


@pytest.mark.parametrize("kind", ["Deadlocked", "Spinning"])
def test_a_blocked_event_loop_is_dumped_and_ended(settings, tmp_path, kind):
    """The watchdog needs no turn of the loop, and the dump names the line that blocks it."""
    with RoleProcess(kind, settings, tmp_path / "log") as role:
        assert role.ends() == 70

    assert "role does not move, ending it" in role.text()
    assert "role_samples.py" in role.text()


def test_a_held_interpreter_is_dumped_and_ended(settings, tmp_path):
    """Where no Python thread can run, the interpreter's own timer does it, with status 1."""
    with RoleProcess("Seized", settings, tmp_path / "log") as role:
        assert role.ends() == 1

    assert "role_samples.py" in role.text()


def test_work_that_never_progresses_ends_the_role(settings, tmp_path):
    """A free loop is no progress; the dump names the task and where it waits."""
    with RoleProcess("Waiting", settings, tmp_path / "log") as role:
        assert role.ends() == 70

    assert "Task a task that waits:" in role.text()
    assert "in forever" in role.text()


def test_an_idle_role_lives(settings, tmp_path):
    """A role with nothing to do outlives the limit many times and still drains."""
    with RoleProcess("Idle", settings, tmp_path / "log") as role:
        ready(settings)
        time.sleep(3 * LIMIT_S)
        role.process.send_signal(signal.SIGTERM)

        assert role.ends() == 0


def test_a_process_that_was_stopped_gets_time_to_move(settings, tmp_path):
    """The time under SIGSTOP is not the role's fault."""
    with RoleProcess("Idle", settings, tmp_path / "log") as role:
        ready(settings)
        os.kill(role.process.pid, signal.SIGSTOP)
        time.sleep(LIMIT_S * 1.5)
        os.kill(role.process.pid, signal.SIGCONT)
        assert ready(settings)
        role.process.send_signal(signal.SIGTERM)

        assert role.ends() == 0


def test_one_long_look_is_not_held_against_the_role(monkeypatch):
    """A clock that leaps, as after a stop of the process, counts as two looks at most: ten leaps, not one."""
    ended, readings = [], itertools.count(step=1000.0)
    monkeypatch.setattr("app.watchdog.time", SimpleNamespace(monotonic=lambda: next(readings)))
    with Watchdog(Telemetry("worker"), 0.2, ended.append) as watchdog:
        watchdog._thread.join()

    assert ended == [70]
    assert next(readings) >= 20 * 1000.0


def test_no_timer_is_left_behind():
    """After the block nothing is watched any more: this very process would be ended else."""
    ended = []
    with Watchdog(Telemetry("worker"), 0.2, ended.append) as watchdog:
        watchdog._thread.join()
    time.sleep(0.5)

    assert ended == [70]
