"""The small job in Bytewax: Kafka source, `stateful_map`, Kafka sink, with recovery on.

Bytewax has no changelog topic. Its durable form of state is the recovery store: changed states are written to SQLite
at the end of every epoch, 10 s by default, and so it is here. The source's batches are of 1,000 records, its default.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax._bytewax import cli_main
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir

from tests.bench import job


def build(task: job.Task) -> Dataflow:
    """The dataflow."""
    start = job.Start(task)

    def decode(record: Any) -> tuple[str, dict[str, Any]]:
        start.mark()
        event = orjson.loads(record.value)
        return event["userId"], event

    def process(state: job.State | None, event: dict[str, Any]) -> tuple[job.State, job.State]:
        after = job.update(state, event)
        return after, after

    def encode(pair: tuple[str, job.State]) -> KafkaSinkMessage[bytes, bytes]:
        customer, state = pair
        return KafkaSinkMessage(customer.encode(), orjson.dumps(job.message(customer, state, job.score(state))))

    flow = Dataflow("job")
    brokers = [task.bootstrap]
    records = kop.input("events", flow, brokers=brokers, topics=[task.events])
    keyed = op.map("decode", records.oks, decode)
    scored = op.stateful_map("state", keyed, process)
    sends = op.map("encode", scored, encode)
    options = {"compression.type": "lz4", "linger.ms": "5", "partitioner": "murmur2_random"}
    kop.output("scores", sends, brokers=brokers, topic=task.scores, add_config=options)
    return flow


if __name__ == "__main__":
    job.calm_collector()
    the_task = job.Task.parse(sys.argv)
    store = Path(the_task.folder) / "recovery"
    store.mkdir()
    init_db_dir(store, 1)
    cli_main(build(the_task), recovery_config=RecoveryConfig(str(store)))
