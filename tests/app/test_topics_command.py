"""`ebbtide topics`: what it prints and the status it ends with."""

from __future__ import annotations

import json
import subprocess
import sys

import msgspec

from streams.topics import topic_specs
from tests.app.tools import child_env


def command(broker, *arguments):
    env = child_env() | {
        "EBBTIDE_BROKER": broker.bootstrap,
        "EBBTIDE_BROKER_TOPIC_PREFIX": broker.topic_prefix,
        "EBBTIDE_BROKER_PARTITIONS": str(broker.partitions),
    }
    call = [sys.executable, "-m", "app.cli", "topics", *arguments]
    return subprocess.run(call, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_creates_and_checks(bare_broker):
    """`check` ends with 1 while topics are missing, `create` makes them, then both end with 0."""
    before = command(bare_broker, "check")
    made = command(bare_broker, "create")
    again = command(bare_broker, "create", "--json")
    after = command(bare_broker, "check", "--json")

    assert (before.returncode, before.stdout.count("wrong: topic")) == (1, len(topic_specs(bare_broker)))
    assert (made.returncode, made.stdout.count("created: ")) == (0, len(topic_specs(bare_broker)))
    assert made.stdout.rstrip().endswith("0 difference(s) from the settings: the roles can start")
    assert (again.returncode, json.loads(again.stdout)["created"]) == (0, [])
    assert (after.returncode, json.loads(after.stdout)["ok"]) == (0, True)


def test_the_command_tells_wrong_from_note(broker):
    """A difference that does harm is the status; in JSON each says which it is."""
    result = command(msgspec.structs.replace(broker, partitions=3), "check", "--json")
    report = json.loads(result.stdout)

    assert (result.returncode, report["ok"]) == (1, False)
    assert {one["topic"].removeprefix(broker.topic_prefix) for one in report["differences"] if one["harmful"]} == {
        "clickstream", "purchases", "contact_center", "rerouted", "scores", "features-changelog",
        "labels",
    }  # fmt: skip
