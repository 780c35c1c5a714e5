"""The chunked Faust transport: one Faust message is one chunk of one partition.

Faust spends a task pair and a lock per message; here that price is paid once per chunk of up to
`worker.chunk_records` records, and the agent loops over plain records. Faust keeps group membership,
rebalancing, flow control, agents and the commit timer. The files, in the order a record meets them:

1. `consumer` - fetches, slices records into chunks, holds back partitions that have enough in flight,
   commits what was acknowledged in order, and commits before a rebalance takes partitions away.
2. `tracker` - which chunks of a partition are in flight, and up to where it may be committed. Pure.
3. `application` - a `faust.App` with this transport and safe settings, and running it until told to stop.
4. `producer` - batches of records to an explicit partition, with acknowledgements that are awaited.
5. `delivery` - the producer's client: idempotent where it can be, patient with a broker that is away.

An agent reads `stream.noack().events()`, makes the effects of `event.value` (a `Chunk`) durable, and only then
calls `ack(event)`. An event that is never acknowledged is redelivered after a restart or rebalance.

What Faust 0.15.3 and aiokafka 0.14 do that would lose, double or stall, how it is met here, and the test under
`tests/streams/chunks` that fails without it (c = test_consumer, k = test_tracker, o = test_outage, t = test_transport):

=========================================== ======================================== ===================================
defect                                      met by                                   test
=========================================== ======================================== ===================================
commits past an open head; merges gaps      `ChunkTracker`: a prefix of chunks       k open_head, k gaps, t read_again
local committed offset moves on failure     moved only after the broker's yes        t refused_commit
a failed commit crashes, a hanging one      refused or late: the timer tries again   c fails_or_hangs
  holds up the stop
rebalance drops what was acknowledged       `before_revoke`, then a commit, first    t rebalance_commits_first
a commit during a commit does nothing       `commit_settled` waits and commits       c not_swallowed
revocation waits for ever for open events   not waited for; they are read again      t open_chunks_gives
a callback's failure at it is only logged   it ends the app                          t cannot_be_finished
skipped and failed events are acknowledged  only what `ack` declared durable counts  c faust_skips, t agent_fails
acknowledgement of an earlier generation    a chunk belongs to its tracker           c next_generation
a fetch straddles the seek after it         `_fetching`, `_seeks`                    c seek_waits
flush gives up after 100 ms; a failed       Faust's producer and tables are unused,  c forgets, t broker_refuses
  delivery is only logged                     the futures of `send` are awaited
a dead broker hides for 20 minutes; aiokafka `delivery`: waits, then a clear error   o stays_away, o stalls
  gives up after 40 s
a batch sent again is stored twice          idempotent producer where there is one   o stalls
round robin parts a customer's topics       range assignor                           c co_partitioning, t equal_numbers
a member that fetches nothing is left out   longer poll interval than the delivery   c co_partitioning
web server with `/table`, leader topic,     settings of `chunk_app`                  c lose_data_are_off, t beside_ours
  declared topics, standbys, transactions
livelock detector that only logs            off; readiness and `app.watchdog` judge  c livelock
private parts of other versions             refused at the start                     t untested_versions
=========================================== ======================================== ===================================

Not met, as not possible: `take` and windowed or global tables are not used, and sources may be neither compacted
(`streams.topics` refuses them) nor written in transactions that are aborted.
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
