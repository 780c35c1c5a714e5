"""Part `full`: the whole job of the real worker, and where its time goes."""

from __future__ import annotations

import asyncio
import time

from streams.topics import topic_name
from tests.bench.cluster import PARTITIONS, Cluster, fill
from tests.bench.events import SHARES, mixed
from tests.bench.report import Table, decimal, median, number, spread
from tests.bench.stages import stages
from tests.bench.worker import Drained, drain, stage, workers

#: Event times: the days before now.
SPAN_S = 7 * 86_400.0
_TOPICS = 4


def full(place: Cluster, events: int, customers: int, rounds: int) -> list[Table]:
    """Measure the worker as a process, then the same events stage by stage in this process."""
    runs = []
    for turn in range(rounds):
        runs.append(run_worker(place, events, customers))
        print(f"  round {turn + 1}: {runs[-1].rate:,.0f} events/s, {runs[-1].cpu_us:.1f} µs/event", flush=True)
    rates, cpu = [run.rate for run in runs], median([run.cpu_us for run in runs])
    row = (
        "one worker on one core", number(median(rates)), spread(rates), decimal(cpu),
        decimal(100 * median([run.scores / run.events for run in runs])) + " %",
    )  # fmt: skip
    mix = ", ".join(f"{share:.0%} {topic}" for topic, share in SHARES.items())
    notes = (
        (
            f"{events:,} mixed events ({mix}) of {customers:,} customers, who all subscribe first, "
            f"over 7 days, waiting on {PARTITIONS} partitions a "
            "topic: all features, labels, reasons, scores on change, changelog, examples; default settings, wall clock."
        ),
        (
            f"`ebbtide worker` as a process bound to one core. Median of {rounds} round(s), "
            "from the last look before its first event to no lag."
        ),
    )
    table = Table(
        "Full job", ("full job", "events/s", "least to greatest", "CPU µs/event", "scores/event"), [row], notes
    )
    return [table, stages(place, events, customers, cpu)]


def run_worker(place: Cluster, events: int, customers: int, cores: tuple[list[int] | None, ...] = ([0],)) -> Drained:
    """One run on fresh topics."""
    with stage(place) as prepared:
        broker = prepared.broker
        now = time.time()
        made = (
            (topic_name(broker, topic), key, raw) for topic, key, raw in mixed(events, customers, now - SPAN_S, now)
        )
        asyncio.run(fill(broker, made))
        with workers(prepared, cores) as running:
            return drain(running, events, _TOPICS * PARTITIONS)
