"""Part `latency`: from an event's due time to the broker's time of the first score that contains it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson

from streams.topics import SCORES, topic_name
from tests.bench.cluster import PARTITIONS, Cluster, fill, read_topic
from tests.bench.events import roll_call
from tests.bench.full import SPAN_S
from tests.bench.process import Child
from tests.bench.report import Table, decimal, number, percentile
from tests.bench.sender import Sending
from tests.bench.worker import Stage, Stuck, Workers, drain, stage, workers

_CUSTOMERS = 10_000
_HEAD_S = 1.0


def latency(place: Cluster, rates: Sequence[int], seconds: float) -> Table:
    """A row for each rate, on a worker that scores every event and knows all customers already."""
    rows = []
    for rate in rates:
        with stage(place, min_change=0.0) as prepared, workers(prepared) as running:
            broker, now = prepared.broker, time.time()
            running.joined(PARTITIONS)
            known = roll_call(_CUSTOMERS, now - SPAN_S, now - SPAN_S / 2)
            asyncio.run(fill(broker, ((topic_name(broker, topic), key, raw) for topic, key, raw in known)))
            drain(running, _CUSTOMERS, 4 * PARTITIONS)
            before = running.look()
            sent = _load(prepared, running, rate, seconds)
            cpu_us = (running.look().cpu_s - before.cpu_s) / rate / (seconds + _HEAD_S) * 1e6
            scores = asyncio.run(read_topic(broker, topic_name(broker, SCORES)))
        waits, missing = latencies(sent, scores)
        rows.append(_row(rate, cpu_us, waits, missing))
        print(f"  {' | '.join(rows[-1])}", flush=True)
    columns = ("events/s", "CPU µs/event", "p50 ms", "p95 ms", "p99 ms", "greatest ms", "without a score")
    stamp = "the worker's" if place.embedded else "the broker's append"
    notes = (
        (
            f"An even load for {seconds:g} s by a process of its own, the first {_HEAD_S:g} s left out; 10,000 "
            "customers in turn, so that each event brings a score (score.min_change 0). One worker bound to one core."
        ),
        (
            f"From the time at which an event was due (open loop) to {stamp} time of the first score whose "
            "`source_offsets` contain it: sender, broker, worker and broker again. The reader of scores is not in it."
        ),
    )
    return Table("Latency: event in, score out", columns, rows, notes)


def _load(prepared: Stage, running: Workers, rate: int, seconds: float) -> list[tuple[str, str, int, float]]:
    """Run the sender and wait until the worker is through; what was sent."""
    broker, out = prepared.broker, Path(prepared.settings.data_dir) / "sent.json"
    job = Sending(broker.bootstrap, broker.topic_prefix, PARTITIONS, rate, seconds + _HEAD_S, _CUSTOMERS, str(out))
    command = [sys.executable, "-m", "tests.bench.sender", msgspec.json.encode(job).decode()]
    with Child(command, out.with_suffix(".log")) as child:
        while not out.exists():
            if not child.alive and not out.exists():
                raise Stuck(f"the sender ended: {child.tail()}")
            time.sleep(0.1)
    sent: list[tuple[str, str, int, float]] = orjson.loads(out.read_bytes())
    running.until(lambda look: not look.lag and sum(look.events) >= _CUSTOMERS + len(sent))
    begin = min((due for *_, due in sent), default=0.0) + _HEAD_S
    return [line for line in sent if line[3] >= begin]


def latencies(sent: Iterable[tuple[str, str, int, float]], scores: Iterable[Any]) -> tuple[list[float], int]:
    """Seconds from due to scored of each event, and how many events no score contains.

    `scores` are records in the order of their partition, so those of a customer are in the order of their offsets.
    """
    by_customer: dict[str, list[tuple[dict[str, int], float]]] = defaultdict(list)
    for record in scores:
        by_customer[record.key.decode()].append((orjson.loads(record.value)["source_offsets"], record.timestamp / 1000))
    waits, missing = [], 0
    for customer, source, offset, due in sent:
        times = (at for offsets, at in by_customer[customer] if offsets.get(source, -1) >= offset)
        at = next(times, None)
        if at is None:
            missing += 1
        else:
            waits.append(at - due)
    return waits, missing


def _row(rate: int, cpu_us: float, waits: list[float], missing: int) -> tuple[str, ...]:
    shares = (0.5, 0.95, 0.99, 1.0)
    return (f"{rate:,}", decimal(cpu_us), *(number(1000 * percentile(waits, s)) for s in shares), number(missing))
