from __future__ import annotations

import asyncio
import io
import signal
import subprocess
from pathlib import Path

import pytest

from app.output import Prefixed, ToFiles
from app.roles import loop_factory
from app.up import Backoff, ProcessGroup, role_group
from models.settings import Settings, SyncSettings
from tests.app.tools import child_env, gone, python, until, wait_until, with_broker

#: Ends on SIGTERM with a word; waits otherwise.
POLITE = """
import signal, sys
def leave(*_):
    print('bye', flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print('here', flush=True)
while True:
    signal.pause()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); signal.pause()"
QUICK = Backoff(first_s=0.01, most_s=0.02)


def group(output, *, backoff=QUICK, drain_s=10.0, **codes):
    return ProcessGroup({n: python(c) for n, c in codes.items()}, child_env(), output, backoff=backoff, drain_s=drain_s)


def run_in_loop(main):
    """Run in the event loop that `ebbtide up` uses."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)


def says(path: Path, word: str, times: int = 1):
    return lambda: path.exists() and path.read_text().split().count(word) >= times


@pytest.mark.parametrize("run_main", [run_in_loop, asyncio.run], ids=["as up", "plain asyncio"])
def test_children_start_and_drain(tmp_path, run_main):
    """Each child runs with its own process id, and a stop lets it end by itself."""

    async def run():
        children = group(ToFiles(tmp_path), a=POLITE, b=POLITE)
        async with children:
            await until(says(tmp_path / "a.log", "here"))
            await until(says(tmp_path / "b.log", "here"))
            running = [children.status(name) for name in children.names]
        return children, running

    children, running = run_main(run())

    assert [status["state"] for status in running] == ["running", "running"]
    assert all(gone(status["pid"]) for status in running)
    assert [(tmp_path / name).read_text().split() for name in ("a.log", "b.log")] == [["here", "bye"]] * 2
    assert (children.failures, children.status("a")["state"]) == ([], "stopped")


def test_stop_goes_in_start_order(tmp_path):
    """A child is told to stop only once the one before it has ended."""
    first = POLITE.replace("print('bye', flush=True)", "import time; time.sleep(0.2); print('bye', flush=True)")

    async def run():
        stream = io.StringIO()
        async with group(Prefixed(stream, width=1), a=first, b=POLITE):
            await until(lambda: stream.getvalue().count("here") == 2)
        return stream.getvalue().splitlines()

    assert run_in_loop(run())[-2:] == ["a | bye", "b | bye"]


def test_a_crashed_child_is_restarted_and_its_failure_kept(tmp_path):
    """A killed child runs again with a new process id; who died and how is known."""

    async def run():
        children = group(ToFiles(tmp_path), a=POLITE)
        async with children:
            await until(says(tmp_path / "a.log", "here"))
            before = children.status("a")["pid"]
            children.kill(signal.SIGKILL, ["a"])
            await until(says(tmp_path / "a.log", "here", times=2))
            return before, children.status("a"), children.failures

    before, after, failures = run_in_loop(run())

    assert (after["state"], after["restarts"]) == ("running", 1)
    assert after["pid"] != before
    assert [(failure.role, failure.exit_code, failure.fatal) for failure in failures] == [("a", -9, False)]


def test_a_child_that_ends_by_itself_counts_as_crashed(tmp_path):
    """Even exit status 0 is a failure when nobody asked for it, and the log's end says why."""

    async def run():
        children = group(ToFiles(tmp_path), a="print('done with it')")
        async with children:
            await until(lambda: len(children.failures) >= 3)
        return children.failures[0]

    failure = run_in_loop(run())

    assert (failure.exit_code, failure.detail, failure.fatal) == (0, "done with it", False)


def test_a_settings_fault_is_final(tmp_path):
    """Exit status 2 means that no restart will help: the child stays down."""

    async def run():
        children = group(ToFiles(tmp_path), a="import sys; print('unknown setting'); sys.exit(2)")
        async with children:
            fatal = await until(children.fatal)
            return fatal, children.status("a")

    fatal, status = run_in_loop(run())

    assert (fatal.exit_code, fatal.detail) == (2, "unknown setting")
    assert (status["state"], status["restarts"], status["pid"]) == ("failed", 0, None)


def test_a_stubborn_child_is_killed_after_its_time(tmp_path):
    """A child that does not react to SIGTERM does not outlive the stop."""

    async def run():
        children = group(ToFiles(tmp_path), drain_s=0.1, a=STUBBORN)
        async with children:
            await until(says(tmp_path / "a.log", "here"))
            return children.status("a")["pid"]

    assert gone(run_in_loop(run()))


def test_what_a_child_started_ends_with_it(tmp_path):
    """No grandchild is left behind, neither by a crash nor by a stop."""
    code = f"import subprocess, sys; p = subprocess.Popen({python(STUBBORN)!r}); print(p.pid, flush=True); p.wait()"

    async def run():
        children = group(ToFiles(tmp_path), drain_s=0.1, a=code)
        async with children:
            await until(says(tmp_path / "a.log", "here"))
            children.kill(signal.SIGKILL)
            await until(says(tmp_path / "a.log", "here", times=2))
        return [int(word) for word in (tmp_path / "a.log").read_text().split() if word.isdigit()]

    grandchildren = run_in_loop(run())

    assert len(grandchildren) >= 2
    wait_until(lambda: all(gone(pid) for pid in grandchildren))


def test_one_child_can_be_stopped_and_started(tmp_path):
    """The others go on while one is down on purpose; it comes back when started."""

    async def run():
        children = group(ToFiles(tmp_path), a=POLITE, b=POLITE)
        async with children:
            await until(says(tmp_path / "a.log", "here"))
            await until(says(tmp_path / "b.log", "here"))
            other = children.status("b")["pid"]
            await children.stop(["a"])
            down = children.status("a")["state"]
            await children.start(["a"])
            await until(says(tmp_path / "a.log", "here", times=2))
            return down, other, children.status("b")["pid"], children.failures

    down, before, after, failures = run_in_loop(run())

    assert (down, failures) == ("stopped", [])
    assert before == after


def test_a_program_that_does_not_exist_is_told(tmp_path):
    """A child that cannot even be started does not fail in silence."""

    async def run():
        children = ProcessGroup({"a": (str(tmp_path / "none"),)}, child_env(), ToFiles(tmp_path))
        await children.start()
        await until(children.fatal)

    with pytest.raises(FileNotFoundError):
        run_in_loop(run())


def test_backoff_doubles_up_to_its_bound():
    """Crash after crash the wait doubles, and it never exceeds the bound."""
    backoff = Backoff(first_s=0.5, most_s=30.0)

    assert [backoff.delay_s(n) for n in (1, 2, 3, 7, 1000)] == [0.5, 1.0, 2.0, 30.0, 30.0]


def test_prefixed_lines_stay_whole():
    """Lines that arrive in pieces are joined, and the last one needs no line end."""

    async def run():
        stream, reader = io.StringIO(), asyncio.StreamReader()
        output = Prefixed(stream, width=6)
        follower = asyncio.create_task(output.follow("worker", reader))
        for piece in (b"one\ntw", b"o\nthr", b"ee"):
            reader.feed_data(piece)
            await asyncio.sleep(0)
        reader.feed_eof()
        await follower
        return stream.getvalue(), output.tail("worker")

    text, tail = run_in_loop(run())

    assert text == "worker | one\nworker | two\nworker | three\n"
    assert tail == "one / two / three"


def test_roles_get_exactly_the_supervisors_settings(tmp_path, monkeypatch):
    """A role sees the settings of its supervisor, not the variables that the supervisor was started with."""
    monkeypatch.setenv("EBBTIDE_LABEL_KIND", "inactivity")
    settings = with_broker(Settings(sync=SyncSettings(webhook_secret="whsec_abc")), "localhost:1")

    env = role_group(settings, ToFiles(tmp_path))._env

    given = {name: value for name, value in env.items() if name.startswith("EBBTIDE_")}
    assert given == {"EBBTIDE_BROKER_BOOTSTRAP": "localhost:1", "EBBTIDE_SYNC_WEBHOOK_SECRET": "whsec_abc"}


SUPERVISOR = """
import asyncio, os, pathlib, sys
from app.output import ToFiles
from app.up import ProcessGroup
code = "from app.lifeline import watch; import signal; watch(grace_s={grace}); {handler}; print('here', flush=True)"
code += "\\nwhile True: signal.pause()"
async def main():
    group = ProcessGroup({{"a": (sys.executable, "-c", code)}}, {{**os.environ}}, ToFiles(pathlib.Path({path!r})))
    await group.start()
    while group.status("a")["pid"] is None:
        await asyncio.sleep(0.01)
    print(group.status("a")["pid"], flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("handler", "grace"),
    [("None", 30.0), ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", 0.05)],
    ids=["drains", "ignores"],
)
def test_a_killed_supervisor_takes_its_roles_with_it(tmp_path, handler, grace):
    """After kill -9 of the supervisor a role drains as on SIGTERM, and one that ignores it is ended by force."""
    code = SUPERVISOR.format(handler=handler, grace=grace, path=str(tmp_path))
    supervisor = subprocess.Popen(python(code), stdout=subprocess.PIPE, env=child_env(), text=True)
    try:
        pid = int(supervisor.stdout.readline())
        wait_until(says(tmp_path / "a.log", "here"))
        supervisor.kill()
        supervisor.wait()

        wait_until(lambda: gone(pid))
    finally:
        supervisor.kill()
        supervisor.wait()
        supervisor.stdout.close()
