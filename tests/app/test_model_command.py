"""`ebbtide model`: what it shows, what it changes, and what it says without a trainer."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json

import pytest

from app.cli import main
from tests.streams.trainer.samples import LABEL, examples, settings_for, values
from tests.streams.trainer.test_role import running, send, until


@pytest.fixture
def command(broker, monkeypatch):
    """Calls the command line: exit status, output and errors."""
    for name, value in {
        "EBBTIDE_BROKER": broker.bootstrap, "EBBTIDE_BROKER_TOPIC_PREFIX": broker.topic_prefix,
        "EBBTIDE_LABEL_KIND": LABEL.kind, "EBBTIDE_HTTP_TRAINER_PORT": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)

    async def call(*arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = await asyncio.to_thread(main, ["model", *arguments])
        return status, out.getvalue(), err.getvalue()

    return call


def test_it_shows_and_changes_what_is_served(broker, command):
    """list, show, promote, rollback and auto on a running trainer, each told in a line or as JSON."""
    settings = settings_for(broker, promotion="manual")

    async def scenario():
        async with running(settings) as telemetry:
            await send(broker, values(examples(400)))
            await until(lambda: telemetry.status.get("examples", 0) > 380)
            found = {"before": await command("list", "--json")}
            for name, arguments in {
                "promote": ("promote", "logistic", "--note", "looks better"), "again": ("promote", "logistic"),
                "nobody": ("promote", "nobody"), "rollback": ("rollback", "--json"), "list": ("list",),
                "auto": ("auto",), "show": ("show",), "after": ("list", "--json"),
            }.items():  # fmt: skip
                found[name] = await command(*arguments)
            kept = json.loads(found["after"][1])["kept"][1]["version"]
            found["version"] = await command("show", kept[:-3], "--json")
            found["pin"] = await command("promote", kept)
            return found, telemetry.status

    found, status = asyncio.run(scenario())
    before, after = json.loads(found["before"][1]), json.loads(found["after"][1])

    assert [one["name"] for one in before["standings"]] == ["rule", "logistic"]
    assert (before["kept"][0]["alias"], before["champion"]) == ("champion", "rule")
    assert found["promote"][:2] == (0, "logistic is served in place of rule\n")
    assert found["again"][0] == 1
    assert found["again"][1].startswith("refused: 'logistic' is the champion already")
    assert found["nobody"][0] == 2
    assert "allowed: logistic, rule, " in found["nobody"][2]
    assert json.loads(found["rollback"][1])["done"]
    assert "pinned" in found["list"][1]
    assert "looks better" in found["list"][1]
    assert found["auto"][1].startswith("the league's champion, logistic, is served in place of pinned rule-")
    assert "since looks better" in found["show"][1]
    assert "log loss" in found["show"][1]
    assert [move["after"].split(" ")[0] for move in after["moves"]] == ["logistic", "pinned", "logistic"]
    assert json.loads(found["version"][1])["label"]["key"] == "inactivity-30d"
    assert "is served as it was, in place of logistic" in found["pin"][1]
    assert status["models"]["inactivity-30d"]["moves"] == 4


def test_without_a_trainer_it_says_so(broker, command):
    """Before anything is published, and when a command finds nobody to obey it."""

    async def scenario():
        nothing = await command("list")
        async with running(settings_for(broker)) as telemetry:
            await send(broker, values(examples(20)))
            await until(lambda: telemetry.status.get("examples", 0) > 10)
        return nothing, await command("rollback", "--wait", "1")

    nothing, unheard = asyncio.run(scenario())

    assert nothing[0] == unheard[0] == 1
    assert "no model of 'inactivity-30d' was published yet: no trainer runs" in nothing[2]
    assert "no answer within 1 s: no trainer runs" in unheard[2]
    assert "is obeyed as soon as a trainer reads it" in unheard[2]
