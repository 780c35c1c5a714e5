"""Part `scaling`: a second worker, and ten and a hundred times the customers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Sequence

from streams.topics import topic_name
from tests.bench.cluster import PARTITIONS, Cluster, fill
from tests.bench.events import mixed, roll_call
from tests.bench.full import SPAN_S, run_worker
from tests.bench.report import Table, decimal, median, number
from tests.bench.worker import Drained, Stage, drain, stage, workers


def scaling(place: Cluster, events: int, customers: Sequence[int], rounds: int) -> list[Table]:
    """One and two workers on the same load, then one worker and ever more customers."""
    return [_by_workers(place, events, rounds), _by_customers(place, events, customers)]


def _by_workers(place: Cluster, events: int, rounds: int) -> Table:
    cores = os.cpu_count() or 1
    layouts: tuple[tuple[str, tuple[list[int] | None, ...]], ...] = (
        ("1 worker", ([0],)),
        ("2 workers", ([0], [min(1, cores - 1)])),
    )
    found: dict[str, list[Drained]] = {name: [] for name, _ in layouts}
    for turn in range(rounds):
        for name, bound in layouts:
            found[name].append(run_worker(place, events, 10_000, bound))
            print(f"  round {turn + 1}, {name}: {found[name][-1].rate:,.0f} events/s", flush=True)
    base = median([run.rate for run in found["1 worker"]])
    rows = [
        (name, number(median([r.rate for r in runs])), decimal(median([r.cpu_us for r in runs])),
         f"{median([r.rate for r in runs]) / base:.2f}×")
        for name, runs in found.items()
    ]  # fmt: skip
    notes = (
        (
            f"The full job, {events:,} events; each worker bound to a core of its own, the broker on what is left of "
            f"{cores}. From the moment that both have begun. With two cores the second shares its core with the broker."
        ),
    )
    return Table("Scaling: workers", ("full job", "events/s", "CPU µs/event", "against one"), rows, notes)


def _by_customers(place: Cluster, events: int, customers: Sequence[int]) -> Table:
    rows, first = [], 0.0
    for count in customers:
        warm, run, state = _with_customers(place, events, count)
        first = first or run.cpu_us
        rows.append(
            (
                f"{count:,}",
                decimal(run.cpu_us),
                f"{run.cpu_us / first:.2f}×",
                decimal(warm.cpu_us),
                number(state / count),
            )
        )
        print(f"  {count:,} customers: {run.cpu_us:.1f} µs/event, {state / count:,.0f} bytes each", flush=True)
    columns = ("customers", "CPU µs/event", "against fewest", "CPU µs per new customer", "bytes per customer")
    notes = (
        (
            f"The full job, {events:,} mixed events after every customer has subscribed. Bytes: resident memory of the "
            "worker after the first events minus before, by customers; with few of them, buffers weigh in."
        ),
    )
    return Table("Scaling: customers", columns, rows, notes)


def _with_customers(place: Cluster, events: int, customers: int) -> tuple[Drained, Drained, int]:
    """Both stretches - first events, then the load - and the growth of memory in the first, bytes."""
    with stage(place) as prepared:
        now = time.time()
        with workers(prepared) as running:
            before = running.joined(PARTITIONS)
            _fill(prepared, roll_call(customers, now - SPAN_S, now - SPAN_S / 2))
            warm = drain(running, customers, 4 * PARTITIONS)
            middle = running.look()
            sent = _fill(prepared, mixed(events, customers, now - SPAN_S / 2, now))
            last = running.until(lambda look: not look.lag and sum(look.events) >= customers + sent)[1]
    spent = last.cpu_s - middle.cpu_s
    return warm, Drained(sent, last.at - middle.at, spent, last.scores - middle.scores, last.rss), warm.rss - before.rss


def _fill(prepared: Stage, made: Iterable[tuple[str, str, bytes]]) -> int:
    broker = prepared.broker
    return asyncio.run(fill(broker, ((topic_name(broker, topic), key, raw) for topic, key, raw in made)))
