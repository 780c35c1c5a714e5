"""The feature worker. The way of a chunk through the files:

`role` (agents) -> `intake` (decode, quarantine, re-route) -> `align` (event-time order over topics) ->
`partition` (engine, sends, acknowledgements); beside it `changelog` (recovery), `model_feed` (published models),
`clock` (wall or event time) and `signals` (metrics).
"""

from streams.worker.role import Worker

__all__ = ["Worker"]
