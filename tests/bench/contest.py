"""Part `job`: the same small job in every framework, in turns; and part `floor`, fetching and decoding alone."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import orjson

from models.settings import BrokerSettings
from tests.bench import job
from tests.bench.cluster import Cluster, Ends, drop_topics, fill, last_append, make_topics, read_topic, until_count
from tests.bench.process import Child
from tests.bench.report import Table, decimal, median, number, spread
from tests.bench.venvs import PeerUnavailable, peer_python

_START_WITHIN_S = 90.0


class Size(msgspec.Struct, frozen=True):
    """How much is done: events, those for slow contestants, customers, rounds, seconds that a run may take."""

    events: int = 300_000
    few: int = 30_000
    customers: int = 10_000
    rounds: int = 5
    within_s: float = 180.0


class Contestant(msgspec.Struct):
    """One framework. `peer` names its environment, empty for ours; `slow` gives it fewer events."""

    name: str
    module: str
    peer: str = ""
    slow: bool = False
    remark: str = ""
    python: str = sys.executable
    versions: str = ""
    failed: str = ""
    runs: list[Run] = []


class Run(msgspec.Struct, frozen=True):
    """One measured run: seconds from the first event to the last score, and CPU seconds in between."""

    events: int
    wall_s: float
    cpu_s: float
    resident_mb: float
    wrong: str = ""

    @property
    def rate(self) -> float:
        return self.events / self.wall_s

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.events * 1e6


CONTESTANTS = (
    ("ours", "tests.bench.peers.ours", "", False, "one changelog record per changed customer and chunk"),
    ("Quix Streams", "tests.bench.peers.quix", "quix", False, "RocksDB and changelog at each commit"),
    ("Bytewax", "tests.bench.peers.bytewax", "bytewax", False, "no changelog topic: recovery store (SQLite)"),
    ("Pathway", "tests.bench.peers.pathway", "pathway", False, "no changelog topic: snapshots on disk"),
    ("Faust agent and Table", "tests.bench.peers.faust", "", True, "one changelog record per event"),
)


def contestants(cache: Path, names: Sequence[str] = ()) -> list[Contestant]:
    """All contestants, or those whose module is named; peers are installed, or know why they cannot be."""
    found = []
    for title, module, peer, slow, remark in CONTESTANTS:
        if names and module.rpartition(".")[2] not in names:
            continue
        one = Contestant(title, module, peer, slow, remark, runs=[])
        if peer:
            try:
                python, one.versions = peer_python(peer, cache)
                one.python = str(python)
            except PeerUnavailable as error:
                one.failed = str(error)
        found.append(one)
    return found


def contest(place: Cluster, size: Size, entrants: list[Contestant]) -> Table:
    """Run all rounds, each in another order, and compare."""
    broker = place.scratch()
    sources = asyncio.run(_prepare(broker, size))
    for turn in range(size.rounds):
        shift = turn % len(entrants)
        for one in entrants[shift:] + entrants[:shift]:
            if not one.failed:
                events, wanted = sources[one.slow]
                run = measure(place, one, events, wanted, size.within_s)
                print(f"  round {turn + 1}, {one.name}: {run if isinstance(run, str) else told(run)}", flush=True)
                if isinstance(run, str):
                    one.failed = run
                else:
                    one.runs.append(run)
    asyncio.run(drop_topics(broker))
    return table(entrants, size)


async def _prepare(broker: BrokerSettings, size: Size) -> dict[bool, tuple[str, dict[str, tuple[int, float]]]]:
    """Fill a topic with all events and one with the first few of them."""
    prepared = {}
    for slow, count in ((False, size.events), (True, size.few)):
        topic = f"{broker.topic_prefix}events-{count}"
        made = list(job.events(count, size.customers))
        await make_topics(broker, topic)
        await fill(broker, ((topic, key, value) for key, value in made))
        prepared[slow] = (topic, job.expected(made))
    return prepared


def measure(
    place: Cluster, one: Contestant, events: str, wanted: dict[str, tuple[int, float]], within_s: float
) -> Run | str:
    """One run on fresh topics; a sentence instead if it did not get through."""
    broker = place.scratch()
    prefix = broker.topic_prefix
    with tempfile.TemporaryDirectory(prefix="ebbtide-bench-") as folder:
        task = job.Task(
            broker.bootstrap, events, f"{prefix}scores", f"{prefix}states", f"{prefix}group", broker.partitions, folder
        )
        try:
            return asyncio.run(_measure(place, one, task, wanted, within_s))
        finally:
            asyncio.run(drop_topics(broker))


async def _measure(
    place: Cluster, one: Contestant, task: job.Task, wanted: dict[str, tuple[int, float]], within_s: float
) -> Run | str:
    await make_topics(place.broker, task.scores)
    await make_topics(place.broker, task.changelog, compacted=True)
    count = sum(number for number, _ in wanted.values())
    ends = Ends(place, task.scores)
    try:
        with Child([one.python, "-m", one.module, task.text()], Path(task.folder) / "log") as child:
            started = _started(child, Path(task.folder) / job.Start.name)
            if isinstance(started, str):
                return started
            came, seen = await until_count(ends, count, lambda: child.alive, within_s)
            cpu_s, resident = child.cpu_s(), child.rss_bytes() / 1e6
            if not came:
                said = f"{await ends.count():,} of {count:,} scores"
                return f"{said} within {within_s:.0f} s" if child.alive else f"{said}, then: {last_line(child.tail())}"
            # All is measured; some take long to stop.
            child.stop(gently=False)
            records = await read_topic(place.broker, task.scores)
    finally:
        await ends.close()
    wrong = job.verdict((orjson.loads(record.value) for record in records), wanted)
    return Run(count, (last_append(records) or seen) - started["at"], cpu_s - started["cpu"], resident, wrong)


def _started(child: Child, note: Path) -> dict[str, float] | str:
    """The contestant's note of its first event, or why there is none."""
    deadline = time.monotonic() + _START_WITHIN_S
    while not note.exists():
        if not child.alive or time.monotonic() > deadline:
            return f"did not start: {last_line(child.tail())}"
        time.sleep(0.02)
    found: dict[str, float] = json.loads(note.read_text())
    return found


def table(entrants: Iterable[Contestant], size: Size) -> Table:
    """The comparison; ratios are of events/s against ours."""
    entrants = list(entrants)
    ours = next((median([run.rate for run in e.runs]) for e in entrants if e.module.endswith(".ours")), float("nan"))
    rows = [_row(one, ours) for one in entrants]
    few = f"; Faust gets the first {size.few:,} of them" if any(one.slow for one in entrants) else ""
    notes = (
        (
            f"JSON decode, 6 features per customer, logistic score, one score message per event, state kept durable. "
            f"{size.events:,} events of {size.customers:,} customers on 4 partitions{few}."
        ),
        (
            f"Median of {size.rounds} rounds in alternating order, each contestant a fresh process with fresh topics; "
            "time from its first event to the last score on the topic, CPU of the process in that time. "
            "Scores are checked: number, and the last of each customer to 1e-6."
        ),
        "Nothing is pinned: threads of librdkafka, Rust or RocksDB may use the second core beside the broker.",
        *(f"{one.name}: {one.remark}" + (f" ({one.versions})" if one.versions else "") for one in entrants),
    )
    columns = ("same small job", "events/s", "least to greatest", "CPU µs/event", "memory MB", "ours is", "scores")
    return Table("Same small job", columns, rows, notes)


def _row(one: Contestant, ours: float) -> tuple[str, ...]:
    if not one.runs:
        return (one.name, "–", "", "–", "–", "", one.failed)
    rates = [run.rate for run in one.runs]
    wrong = one.failed or next((run.wrong for run in one.runs if run.wrong), "")
    return (
        one.name, number(median(rates)), spread(rates), decimal(median([run.cpu_us for run in one.runs])),
        number(median([run.resident_mb for run in one.runs])), f"{decimal(ours / median(rates))}×", wrong or "right",
    )  # fmt: skip


def told(run: Run) -> str:
    return f"{run.rate:,.0f} events/s, {run.cpu_us:.1f} µs/event" + (f", {run.wrong}" if run.wrong else "")


def last_line(text: str) -> str:
    """The last line that names an error, or else the last line."""
    lines = text.strip().splitlines() or ["it said nothing"]
    errors = [line for line in lines if re.search(r"\w(Error|Exception)\b", line)]
    return (errors or lines)[-1].strip()[:160]
