from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import uuid

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.broker import own_broker
from app.cli import main
from app.commands.base import moment, speed
from app.progress import _lines, progress
from app.settings import to_env
from models.simulator.events import simulate
from models.simulator.settings import SimulatorSettings
from models.simulator.truth import SimulatedTruth
from streams.kafka import log_ends
from streams.topic_checks import check_topics
from streams.topics import SOURCES
from tests.app.tools import child_env, free_ports, wait_until

SHOP = ("--customers", "20", "--days", "10", "--seed", "3")
SMALL = SimulatorSettings(customers=20, days=10, seed=3)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """An embedded broker for this module's tests."""
    with own_broker(free_ports(tmp_path_factory.mktemp("sending"))) as (connected, _):
        yield connected


@pytest.fixture
def prefix(broker, monkeypatch):
    """Topics of its own for each test, given to the command line by environment."""
    for name in [name for name in os.environ if name.startswith("EBBTIDE_")]:
        monkeypatch.delenv(name)
    prefix = f"{uuid.uuid4().hex[:8]}-"
    for name, value in (to_env(broker) | {"EBBTIDE_BROKER_TOPIC_PREFIX": prefix}).items():
        monkeypatch.setenv(name, value)
    return prefix


def on_the_topics(broker, prefix):
    """Every record of the source topics: topic, key, value, timestamp in milliseconds."""

    async def read():
        names = {prefix + topic: topic for topic in SOURCES}
        parts = [TopicPartition(name, number) for name in names for number in range(broker.broker.partitions)]
        ends = await log_ends(broker.broker, parts)
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.broker.bootstrap)
        await consumer.start()
        try:
            consumer.assign(parts)
            for part in parts:
                consumer.seek(part, 0)
            found = []
            while len(found) < sum(ends.values()):
                for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                    found += [(names[tp.topic], record.key, record.value, record.timestamp) for record in records]
            return found
        finally:
            await consumer.stop()

    return asyncio.run(asyncio.wait_for(read(), 30))


def simulated():
    return [(event.topic, event.key.encode(), event.raw) for event in simulate(SMALL)]


def test_simulate_sends_every_event_to_its_topic(broker, prefix, capsys):
    """What the simulator makes is on the topics, keyed by customer, with the event's own time."""
    assert main(["simulate", *SHOP]) == 0

    expected = simulated()
    records = on_the_topics(broker, prefix)
    assert sorted(record[:3] for record in records) == sorted(expected)
    assert capsys.readouterr().out.startswith(f"sent {len(expected):,} events (")
    assert {record[3] // 31_536_000_000 for record in records} == {55}


def test_a_simulated_file_replays_to_the_same_records(broker, prefix, tmp_path, capsys):
    """A simulation written to a file and replayed is the simulation sent at once; only empty records have no line."""
    path = str(tmp_path / "shop.ndjson")

    assert main(["simulate", *SHOP, "--out", path]) == 0
    assert main(["replay", path]) == 0

    expected = [raw for _, _, raw in simulated() if raw]
    assert sorted(record[2] for record in on_the_topics(broker, prefix)) == sorted(expected)
    assert capsys.readouterr().out.splitlines()[0] == f"wrote {len(expected):,} events to {path}"


def test_replay_can_be_limited_by_count_and_time(broker, prefix, tmp_path):
    """--from, --to and --limit choose events by their own time and number."""
    path = tmp_path / "events.ndjson"
    days = [f"2025-01-{day:02d}T12:00:00Z" for day in range(1, 10)]
    path.write_text(
        "".join(json.dumps({"type": "page", "userId": "u", "messageId": d, "timestamp": d}) + "\n" for d in days)
    )

    assert main(["replay", str(path), "--from", "2025-01-03", "--to", "2025-01-08", "--limit", "3"]) == 0

    sent = sorted(json.loads(value)["messageId"] for _, _, value, _ in on_the_topics(broker, prefix))
    assert sent == days[2:5]


def test_the_truth_can_be_written_and_read_again(tmp_path):
    """--truth writes what the simulator knows, so that its best possible figures can be worked out later."""
    path = tmp_path / "truth.json"

    assert main(["simulate", *SHOP, "--out", str(tmp_path / "out"), "--truth", str(path)]) == 0

    truth = SimulatedTruth.from_dict(json.loads(path.read_bytes()))
    assert truth.settings == SMALL


def test_ctrl_c_ends_a_paced_replay_with_what_was_sent(broker, prefix, tmp_path):
    """A slow replay stops at once, says what it sent, and tells by its exit status that it was stopped."""
    command = (sys.executable, "-m", "app.cli", "simulate", *SHOP, "--speed", "1")
    env = child_env() | {name: value for name, value in os.environ.items() if name.startswith("EBBTIDE_")}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: _topics_exist(broker, prefix))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()

    assert (process.returncode, err) == (130, "")
    assert out.startswith("sent ")
    assert out.endswith("then stopped by a signal\n")


def _topics_exist(broker, prefix):
    named = msgspec.structs.replace(broker.broker, topic_prefix=prefix)
    return asyncio.run(check_topics(named)) == []


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["replay", "none.ndjson"], 1, "cannot read events: no such file: 'none.ndjson'"),
        (["replay", "simulator:shops=2"], 1, "allowed: customers=, days=, incident=, seed=, start="),
        (["replay", "a", "--from", "2025-02-01", "--to", "2025-01-01"], 2, "--from is not before --to"),
        (["simulate", "--start", "soon"], 2, "start is 'soon', allowed: a date like '2025-01-01'"),
        (["simulate", "--out", "x", "--speed", "2"], 2, "--speed is for sending to Kafka"),
        (
            ["simulate", "--customers", "2", "--days", "1", "--out", "/no/such/folder/x"],
            1,
            "cannot write '/no/such/folder/x'",
        ),
    ],
)
def test_wrong_sources_are_one_line(prefix, argv, code, said, capsys):
    """A source that cannot be used is refused in one line."""
    assert main(argv) == code

    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_broken_file_leaves_no_half_output(tmp_path, monkeypatch):
    """An output file appears only once it is complete."""
    monkeypatch.setattr("models.simulator.events.simulate", lambda _: (1 / 0 for _ in [1]))

    with pytest.raises(ZeroDivisionError):
        main(["simulate", *SHOP, "--out", str(tmp_path / "out")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "expected"), [("max", None), ("60", 60.0), ("2.5x", 2.5)])
def test_speeds_are_read(text, expected):
    """A speed is a factor of real time, or as fast as it goes."""
    assert speed(text) == expected


@pytest.mark.parametrize("text", ["0", "-1", "fast", "inf", "nan"])
def test_impossible_speeds_are_refused(text):
    """A speed must be a number above 0."""
    with pytest.raises(Exception, match="allowed: a number above 0"):
        speed(text)


def test_dates_are_utc_unless_they_say_otherwise():
    """A date alone is midnight UTC."""
    assert moment("1970-01-02") == 86_400.0
    assert moment("1970-01-02T00:00:00+01:00") == 82_800.0


def test_progress_without_a_terminal_is_a_line_now_and_then():
    """Lines come at most every five seconds, with share and remark."""
    now, out = [0.0], io.StringIO()
    with _lines("replaying", 200.0, out, clock=lambda: now[0]) as report:
        for second in range(12):
            now[0] = float(second)
            report(second * 10.0, f"{second} events")

    assert out.getvalue() == "replaying: 25% 5 events\nreplaying: 50% 10 events\n"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_progress_on_a_terminal_is_a_bar():
    """On a terminal a bar is drawn, and markup in a remark is only text."""
    out = Terminal()
    with progress("replaying", 4.0, out) as report:
        report(2.0, "[bold]2 events")

    assert "replaying" in out.getvalue()
    assert "50%" in out.getvalue()
    assert "[bold]2 events" in out.getvalue()
