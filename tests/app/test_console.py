from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack

import aiohttp
import pytest

from app import notes
from app.console import serve_console
from app.console.history import History, Rates
from app.console.overview import Table, overview, sample
from app.http import role_app, serve
from app.probe import Answer
from streams.telemetry import Telemetry
from tests.app.tools import free_ports, until

WORKER = {
    "events": 1000, "events_per_s": 25.5, "customers": 40, "lag": {"clickstream/0": 3, "clickstream/1": 4},
    "quarantine": {"bad_json": 2}, "scores": 70, "examples": 9, "watermark": 1_700_000_000.0,
}  # fmt: skip
TRAINER = {
    "examples": 9, "positives": 2, "served": "rule",
    "metrics": {"auc_emitted": 0.81, "log_loss_emitted": 0.4, "auc_rule": 0.7, "log_loss_rule": float("nan")},
}  # fmt: skip
SYNC = {"deliveries": {"delivered": 5, "dead_letter": 1}, "pending": 2, "breaker": "closed"}
HOSTILE = "<img src=x onerror=alert(1)>"
TABLE = Table(
    "ebbtide-7.duckdb",
    1_000.0,
    {"critical": 1},
    ({"customer_id": HOSTILE, "probability": 0.9, "band": "critical", "reasons": []},),
)


def answer(role, status, up=True):
    return Answer(role, "http://x", up, up, "caught up" if up else "not running", status)


def with_console(tmp_path, statuses, visit, read=lambda _: TABLE, every_s=0.01):
    """Run role servers and the console on free ports and give their addresses to `visit`."""

    async def run():
        async with AsyncExitStack() as stack:
            peers = []
            for role, status in statuses.items():
                telemetry = Telemetry(role)
                telemetry.status |= status
                telemetry.progress()
                url = await stack.enter_async_context(serve(role_app(telemetry), "127.0.0.1", 0, "port"))
                peers.append(f"{role}={url}")
            settings = free_ports(tmp_path, peers=tuple(peers))
            url = await stack.enter_async_context(serve_console(settings, read=read, every_s=every_s))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return await visit(session, url)

    return asyncio.run(run())


async def overview_of(session, url, query=""):
    """The page's data, once there is some."""
    while True:
        async with session.get(f"{url}/api/overview{query}") as response:
            if response.status == 200:
                return await response.json()
        await asyncio.sleep(0.005)


def test_the_page_data_comes_from_the_roles_and_the_snapshot(tmp_path):
    """Every figure of the page is one that a role or the newest snapshot reported."""
    data = with_console(tmp_path, {"worker": WORKER, "trainer": TRAINER, "sync": SYNC}, overview_of)

    assert data["events"] == {n: WORKER[n] for n in ("events", "events_per_s", "customers", "scores", "examples")}
    assert data["lag"] == {"total": 7, "parts": {"clickstream/0": 3, "clickstream/1": 4}}
    assert data["quarantine"] == {"total": 2, "parts": {"bad_json": 2}}
    assert data["deliveries"]["total"] == 6
    assert (data["model"]["served"], data["model"]["metrics"]["emitted"]["auc"]) == ("rule", 0.81)
    assert data["model"]["metrics"]["rule"]["log_loss"] is None
    assert (data["warehouse"]["snapshot"], data["customers"][0]["customer_id"]) == ("ebbtide-7.duckdb", HOSTILE)


def test_the_league_of_the_first_horizon_is_shown_with_the_last_move(tmp_path):
    """What is served, since when and why, and how far each challenger has come."""
    move = {"at": 99.0, "before": "rule", "after": "logistic", "why": "better in the test"}
    standing = {
        "name": "rule",
        "alias": "challenger",
        "judged": 5,
        "compared": 2,
        "recent_log_loss": 0.4,
        "evidence": 0.1,
    }
    league = {"served": "logistic", "champion": "logistic", "why": "x", "moves": 1, "last_moves": [{}, move]}
    status = TRAINER | {"models": {"inactivity-30d": league | {"models": [standing]}, "inactivity-7d": {}}}

    data = with_console(tmp_path, {"trainer": status}, overview_of)

    assert data["league"] == {
        "served": "logistic", "champion": "logistic", "why": "better in the test", "since": 99.0, "moves": 1,
        "standings": [standing],
    }  # fmt: skip


def test_a_dead_role_is_down_and_its_figures_unknown(tmp_path):
    """A role that does not answer shows as down; nothing is made up for it."""
    data = with_console(tmp_path, {"worker": WORKER}, overview_of)

    roles = {role["role"]: (role["up"], role["reason"]) for role in data["roles"]}
    assert roles["worker"] == (True, "caught up")
    assert roles["sync"] == (False, "not running")
    assert (data["deliveries"]["total"], data["pending"], data["model"]["served"]) == (None, None, None)


def test_history_grows_and_can_be_asked_from_a_time_on(tmp_path):
    """The page asks only for what it does not have yet."""

    async def visit(session, url):
        later = await overview_of(session, url)
        while len(later["history"]["t"]) < 4:
            later = await overview_of(session, url)
        since = later["history"]["t"][1]
        return later, await overview_of(session, url, f"?after={since}"), since

    later, fresh, since = with_console(tmp_path, {"worker": WORKER}, visit)

    assert later["history"]["events_per_s"][0] == 25.5
    assert min(fresh["history"]["t"]) > since


def test_a_failing_snapshot_reader_does_not_end_the_page(tmp_path, caplog):
    """What goes wrong in polls is logged, once while it lasts, and the next poll is made."""
    calls = []

    def read(_):
        calls.append(1)
        if len(calls) <= 3:
            raise RuntimeError("broken file")
        return TABLE

    data = with_console(tmp_path, {"worker": WORKER}, overview_of, read=read)

    assert data["customers"]
    assert [record.getMessage() for record in caplog.records] == ["poll failed"]


def test_the_page_is_complete_and_asks_nobody_else(tmp_path):
    """The page, its style and scripts come from this server, and a policy forbids everything else."""

    async def visit(session, url):
        answers = {}
        for path in ("/", "/static/style.css", "/static/page.js", "/static/chart.js", "/static/mark.svg"):
            async with session.get(url + path) as response:
                answers[path] = (response.status, dict(response.headers), await response.text())
        return answers

    answers = with_console(tmp_path, {}, visit)

    assert {status for status, _, _ in answers.values()} == {200}
    assert answers["/"][1]["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    text = "".join(text.replace("http://www.w3.org/2000/svg", "") for _, _, text in answers.values())
    assert [
        mark for mark in ("http://", "https://", "innerHTML", "insertAdjacent", "document.write") if mark in text
    ] == []


@pytest.mark.parametrize("after", ["", "x", "nan", "inf", "-1"])
def test_a_strange_after_means_everything(tmp_path, after):
    """A query that is no time is not an error."""
    data = with_console(tmp_path, {"worker": WORKER}, lambda s, u: overview_of(s, u, f"?after={after}"))

    assert data["history"]["t"]


def test_noted_roles_are_found_on_their_free_ports(tmp_path):
    """Roles on port 0 are found by the notes they leave, several workers included."""

    async def run():
        settings = free_ports(tmp_path)
        async with AsyncExitStack() as stack:
            for _ in range(2):
                telemetry = Telemetry("worker")
                telemetry.status |= WORKER
                url = await stack.enter_async_context(serve(role_app(telemetry), "127.0.0.1", 0, "port"))
                path = notes.role_path(settings, "worker").with_name(f"{url.rpartition(':')[2]}.json")
                stack.enter_context(notes.left(path, notes.RoleNote("worker", 1, url)))
            url = await stack.enter_async_context(serve_console(settings, read=lambda _: TABLE, every_s=0.01))
            async with aiohttp.ClientSession() as session:
                return await overview_of(session, url)

    data = asyncio.run(run())

    assert (data["events"]["events"], data["lag"]["parts"]["clickstream/0"]) == (2000, 6)
    assert [role["role"] for role in data["roles"]] == ["worker", "worker", "trainer", "warehouse", "sync"]


def test_notes_of_dead_processes_do_not_count(tmp_path):
    """A note left by a killed process is ignored, and removed by the next process of its role."""
    settings = free_ports(tmp_path)
    beyond_any_pid = 2**30
    path = notes.role_path(settings, "sync")

    with notes.left(path, notes.RoleNote("sync", beyond_any_pid, "http://127.0.0.1:1")):
        assert notes.running_roles(settings) == []
        notes.forget_dead(settings, "worker")
        assert path.exists()
        notes.forget_dead(settings, "sync")
        assert not path.exists()


@pytest.mark.parametrize("junk", [None, 3, "text", [], {"a": "b"}, {"a": True}, {"a": float("inf")}])
def test_odd_statuses_never_break_the_page(junk):
    """A role of another version may send anything; what is no count is left out."""
    status = dict.fromkeys((*WORKER, *TRAINER, *SYNC, "models"), junk) | {"watermark": None}

    data = overview(5.0, [answer(role, status) for role in ("worker", "trainer", "warehouse", "sync")], Table(), {})

    assert data["events"]["events"] in (None, 3)
    assert json.dumps(sample(data))


def test_supervised_roles_show_restarts():
    """What the supervisor knows of a role stands next to what the role says."""
    data = overview(5.0, [answer("sync", {}, up=False)], Table(), {"sync": {"state": "waiting", "restarts": 3}})

    (role,) = data["roles"]
    assert (role["up"], role["state"], role["restarts"]) == (False, "waiting", 3)


def test_history_is_bounded_and_keeps_gaps():
    """Only the newest samples stay, and a figure that was not reported is a gap."""
    history = History(capacity=3)
    for at in range(5):
        history.add(float(at), {"lag": float(at)} if at % 2 else {"lag": None, "extra": 1.0})

    assert history.after(0.0) == {"t": [2.0, 3.0, 4.0], "lag": [None, 3.0, None], "extra": [1.0, None, 1.0]}
    assert history.after(3.0)["t"] == [4.0]


def test_rates_survive_a_restart():
    """A total that falls (its role was restarted) gives no rate instead of a negative one."""
    rates = Rates()

    found = [rates.update(at, {"sent": total})["sent"] for at, total in ((0.0, 10), (2.0, 14), (4.0, 1), (6.0, 3))]

    assert found == [None, 2.0, None, 1.0]


def test_the_console_polls_by_itself(tmp_path):
    """Samples are taken whether somebody looks or not."""

    async def visit(session, url):
        del session, url
        await until(lambda: len(reads) >= 3)
        return time.time()

    reads = []
    with_console(tmp_path, {}, visit, read=lambda _: reads.append(1) or TABLE)

    assert len(reads) >= 3
