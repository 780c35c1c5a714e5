"""The small job in Pathway: Kafka in, a stateful reducer per customer, its upserts out as a stream.

Pathway computes in commits: all events of a commit reach a customer's reducer together, in no order, so they are put
into theirs by time. The reducer's result is the list of the commit's scores, which is flattened to one message each;
`to_stream` keeps out of the topic what Pathway would otherwise write for every replaced list, its retraction. Messages
can be sorted only by what goes out, so the number of the event is a header. There is no changelog topic: state is kept
by persistence snapshots on disk. Commits are shortened from 1.5 s to 0.1 s.
"""

from __future__ import annotations

import sys
from typing import Any

import orjson
import pathway as pw

from tests.bench import job


class Raw(pw.Schema):
    key: bytes
    data: bytes


def build(task: job.Task) -> None:
    """Declare the dataflow; Pathway keeps it in a global."""
    start = job.Start(task)

    @pw.reducers.stateful_many
    def process(state: Any, rows: list[tuple[list[bytes], int]]) -> Any:
        start.mark()
        events = [orjson.loads(raw) for [raw], count in rows for _ in range(count)]
        events.sort(key=lambda event: event["timestamp"])
        before = None if state is None else list(state[0])
        told = []
        for event in events:
            before = job.update(before, event)
            told.append((int(before[0]), orjson.dumps(job.message(event["userId"], before, job.score(before)))))
        return tuple(map(float, before)), tuple(told)

    settings = {"bootstrap.servers": task.bootstrap, "group.id": task.group, "auto.offset.reset": "earliest"}
    events = pw.io.kafka.read(settings, topic=task.events, format="raw", autocommit_duration_ms=100, name="events")
    kept = events.groupby(pw.this.key).reduce(pw.this.key, result=process(pw.this.data))
    typed = pw.declare_type(tuple[tuple[float, ...], tuple[tuple[int, bytes], ...]], pw.this.result)
    lists = kept.select(pw.this.key, said=typed[1]).to_stream()
    each = lists.filter(pw.this.is_upsert).flatten(pw.this.said)
    scores = each.select(pw.this.key, number=pw.this.said[0], value=pw.this.said[1])
    options = settings | {"compression.type": "lz4", "linger.ms": "5", "partitioner": "murmur2_random"}
    pw.io.kafka.write(
        scores, options, topic_name=task.scores, format="raw",
        key=scores.key, value=scores.value, headers=[scores.number], sort_by=[scores.number],
    )  # fmt: skip


if __name__ == "__main__":
    job.calm_collector()
    the_task = job.Task.parse(sys.argv)
    build(the_task)
    backend = pw.persistence.Backend.filesystem(f"{the_task.folder}/snapshots")
    pw.run(monitoring_level=pw.MonitoringLevel.NONE, persistence_config=pw.persistence.Config(backend))
