"""The small job in Quix Streams: `apply` with RocksDB state and its changelog topic, then `to_topic`.

As its documentation advises for throughput: the default commit interval of 5 s, lz4, a linger for the producer, and
orjson through its serialiser hooks. Its keys go out with Kafka's partitioner by default.
"""

from __future__ import annotations

import sys
from typing import Any

import orjson
from quixstreams import Application, State
from quixstreams.models import BytesDeserializer, BytesSerializer
from quixstreams.state.rocksdb import RocksDBOptions

from tests.bench import job


def build(task: job.Task) -> Application:
    """The application with its one dataframe."""
    app = Application(
        broker_address=task.bootstrap,
        consumer_group=task.group,
        auto_offset_reset="earliest",
        state_dir=f"{task.folder}/state",
        rocksdb_options=RocksDBOptions(dumps=orjson.dumps, loads=orjson.loads),
        producer_extra_config={"compression.type": "lz4", "linger.ms": 20},
        loglevel="WARNING",
    )
    events = app.topic(task.events, key_deserializer="str", value_deserializer=BytesDeserializer())
    scores = app.topic(task.scores, key_serializer="str", value_serializer=BytesSerializer())
    start = job.Start(task)

    def process(raw: bytes, state: State) -> bytes:
        start.mark()
        event: dict[str, Any] = orjson.loads(raw)
        after = job.update(state.get("state"), event)
        state.set("state", after)
        return orjson.dumps(job.message(event["userId"], after, job.score(after)))

    app.dataframe(events).apply(process, stateful=True).to_topic(scores)
    return app


if __name__ == "__main__":
    job.calm_collector()
    build(job.Task.parse(sys.argv)).run()
