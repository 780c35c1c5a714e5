"""The chunked Faust transport: one Faust message is one chunk of one partition.

Faust spends a task pair and a lock per message; here that price is paid once per chunk of up to
`worker.chunk_records` records, and the agent loops over plain records. Faust keeps group membership,
rebalancing, flow control, agents and the commit timer. The files, in the order a record meets them:

1. `consumer` - fetches, slices records into chunks, holds back partitions that have enough in flight,
   commits what was acknowledged in order, and commits before a rebalance takes partitions away.
2. `tracker` - which chunks of a partition are in flight, and up to where it may be committed. Pure.
3. `application` - a `faust.App` with this transport and safe settings, and running it until told to stop.
4. `producer` - batches of records to an explicit partition, with acknowledgements that are awaited.

An agent reads `stream.noack().events()`, makes the effects of `event.value` (a `Chunk`) durable, and only then
calls `ack(event)`. An event that is never acknowledged is redelivered after a restart or rebalance.
"""

from streams.chunks.application import ChunkApp, chunk_app, chunk_topic, run_app
from streams.chunks.chunk import Chunk, ack
from streams.chunks.delivery import DeliveryTimeout
from streams.chunks.producer import BatchProducer, Outgoing, wait_all

__all__ = [
    "BatchProducer",
    "Chunk",
    "ChunkApp",
    "DeliveryTimeout",
    "Outgoing",
    "ack",
    "chunk_app",
    "chunk_topic",
    "run_app",
    "wait_all",
]
