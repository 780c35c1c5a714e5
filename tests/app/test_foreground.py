from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request

from app.settings import to_env
from tests.app.tools import child_env, free_ports, gone, wait_until


def overview(url):
    """The console's data; None before there is some."""
    try:
        with urllib.request.urlopen(f"{url}/api/overview", timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return None


def test_up_runs_every_role_on_an_embedded_broker_and_leaves_nothing(tmp_path):
    """Without any settings `ebbtide up` gets every role ready, says that nothing lasts, and ends clean on SIGTERM."""
    command = (sys.executable, "-m", "app.cli", "up")
    env = child_env() | to_env(free_ports(tmp_path))
    with (tmp_path / "log").open("wb") as log:
        up = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        broker, console, _ = (up.stdout.readline().split(maxsplit=1)[1] for _ in range(3))

        def every_role_ready():
            data = overview(console.strip())
            return data if data and all(role["ready"] for role in data["roles"]) else None

        data = wait_until(every_role_ready, 60)
        pids = [json.loads(path.read_bytes())["pid"] for path in (tmp_path / "data" / "run").iterdir()]
        up.send_signal(signal.SIGTERM)
        rest, _ = up.communicate(timeout=60)
    finally:
        up.kill()
        up.wait()

    assert "everything on it is gone when this command stops" in broker
    assert [(role["role"], role["restarts"]) for role in data["roles"]] == [
        ("worker", 0),
        ("trainer", 0),
        ("warehouse", 0),
        ("sync", 0),
    ]
    assert (up.returncode, rest) == (0, "stopping: worker, trainer, warehouse, sync\n"), (tmp_path / "log").read_text()
    assert len(pids) == 4
    assert all(gone(pid) for pid in pids)
    assert not (tmp_path / "data" / "broker.json").exists()
