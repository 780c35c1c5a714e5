"""The feature worker. The way of a chunk through the files:

`role` (agents) -> `intake` (decode, quarantine, re-route) -> `align` (event-time order over topics) ->
`partition` (turns of the engine) -> `outbox` (sends and acknowledgements).

How a partition's state survives: `recovery` restores and claims it, by `markers` on the changelog and a `local` file;
`ownership` notices what evicted workers write, `upkeep` repairs it, takes snapshots (written by the `keeper`) and
moves idle customers to the `attic`; `pulse` tells when the process stood still for too long.

Beside them `changelog` (reading partitions), `model_feed` (published models), `clock` (wall or event time) and
`signals` (metrics).
"""

from streams.worker.role import Worker

__all__ = ["Worker"]
