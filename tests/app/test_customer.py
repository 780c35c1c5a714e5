from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from app import notes
from app.cli import main
from app.console.customers import SnapshotReader
from app.http import role_app, serve
from streams.telemetry import Telemetry
from tests.app.tools import free_ports
from tests.app.warehouse_samples import CREATED, publish, score


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Settings of an empty data directory, which the command line sees too."""
    found = free_ports(tmp_path)
    monkeypatch.setenv("EBBTIDE_DATA_DIR", found.data_dir)
    for role in ("WORKER", "TRAINER", "WAREHOUSE", "SYNC", "CONSOLE"):
        monkeypatch.setenv(f"EBBTIDE_HTTP_{role}_PORT", "0")
    return found


class Holder:
    """A worker that holds one customer."""

    def customer(self, customer_id):
        known = {"customer_id": "anna", "partition": 2, "features": {"days_since_order": 3.5, "spend_30d": None}}
        return known if customer_id == "anna" else None


def beside_a_worker(settings, *argv):
    """Run the command in a thread while a worker serves its customers."""

    async def run():
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(serve(role_app(Telemetry("worker"), Holder), "127.0.0.1", 0, "port"))
            note = notes.RoleNote("worker", 1, url)
            stack.enter_context(notes.left(notes.role_path(settings, "worker"), note))
            return await asyncio.to_thread(main, argv)

    return asyncio.run(run())


def test_the_newest_score_is_told_in_words(settings, capsys):
    """Probability, model, reasons, features and history are lines that a person can read."""
    publish(settings, [score("anna", 0.5), score("anna", 0.625, revision=2), score("bert", 0.1, band="low")])

    assert main(["customer", "anna"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "anna: 62.5% to leave within 30 days, band high, likely to churn",
        (
            "  scored 2026-01-02T00:00:01.000Z as of 2026-01-02T00:00:00.000Z, revision 2, model logistic v7, "
            "at or above 75% of customers"
        ),
        "reasons",
        "  1. no order for 41 days (typical: 12 days) (raises the risk, +0.80; days_since_order)",
        "  2. money spent in 30 days: unknown (lowers the risk, -0.25; spend_30d)",
        "features",
        "  days_since_order             41.2 days",
        "  orders_30d                   1 order",
        "history",
        "  2026-01-02T00:00:00.000Z   62.5%  high",
        "  2026-01-01T00:00:00.000Z   50.0%  high",
        "state: no running worker answered for this customer",
    ]


def test_json_holds_score_snapshot_and_state(settings, capsys):
    """`--json` gives everything, the worker's state included."""
    snapshot = publish(settings, [score("anna", 0.5)])

    assert beside_a_worker(settings, "customer", "anna", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["score"]["probability"] == 0.5
    assert data["score"]["reasons"][0]["feature"] == "days_since_order"
    assert (data["snapshot"], data["state"]["partition"]) == (str(snapshot.path), 2)


def test_a_customer_without_score_is_shown_from_the_worker(settings, capsys):
    """Before the first snapshot the worker's own features are shown."""
    assert beside_a_worker(settings, "customer", "anna") == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("no score yet: no snapshot in ")
    assert lines[1:] == [
        "state: held by a running worker, partition 2 (all of it with --json)",
        "  days_since_order             3.5 days",
    ]


def test_an_unknown_customer_is_one_line_and_exit_1(settings, capsys):
    """A customer whom nobody knows is an expected failure."""
    publish(settings, [score("anna", 0.5)])

    assert main(["customer", "zoe"]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert captured.err.startswith("ebbtide: no customer 'zoe': not in snapshot ")


def test_a_customer_who_left_is_not_called_likely(settings, capsys):
    """The band `left` is explained."""
    publish(settings, [score("anna", 0.9, band="left")])

    assert main(["customer", "anna"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "anna: has left, or was silent for too long"


def test_the_console_shows_those_who_can_still_be_kept(settings):
    """The page's table is the newest snapshot's eligible customers, most likely first, with their reasons."""
    publish(settings, [score("anna", 0.5), score("bert", 0.7), score("cora", 0.9, band="left")])

    table = SnapshotReader()(settings)

    assert [customer["customer_id"] for customer in table.customers] == ["bert", "anna"]
    assert (table.name, table.created_at) == ("ebbtide-1.duckdb", CREATED.timestamp())
    assert table.bands == {"high": 2, "left": 1}
    assert table.customers[0]["reasons"][0] == {
        "feature": "days_since_order",
        "meaning": "no order for 41 days (typical: 12 days)",
        "amount": "41.2 days",
        "contribution": 0.8,
    }


def test_the_console_reads_each_snapshot_once(settings):
    """An unchanged snapshot costs nothing, a newer one is seen at once."""
    reader = SnapshotReader()
    before = reader(settings)
    publish(settings, [score("anna", 0.5)])
    first, again = reader(settings), reader(settings)
    publish(settings, [score("anna", 0.25, revision=2)])

    assert before.problem.startswith("no snapshot in ")
    assert first is again
    assert reader(settings).customers[0]["probability"] == 0.25
