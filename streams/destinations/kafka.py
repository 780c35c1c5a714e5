"""A Kafka topic of your own on the same cluster: one record per customer, by their id.

In mode `mirror` who leaves is deleted by a record without a value, so that a compacted topic holds the likely ones
alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import orjson

from streams.destinations.base import Change, Destination, Limits
from streams.destinations.contract.messages import Request
from streams.destinations.contract.options import Options


class KafkaOptions(Options, frozen=True, kw_only=True):
    """`topic` must exist; the cluster and its credentials are those of `[broker]`."""

    topic: str


class Kafka(Destination[KafkaOptions]):
    """A JSON record per change: the kind of news, the score's id and time, and the fields."""

    kind = "kafka"
    summary = "a Kafka topic on the same cluster: one JSON record per change, by customer id"
    options_type = KafkaOptions
    modes = ("upsert", "mirror", "event", "full")
    transport = "kafka"
    takes_anonymous = True
    # One request at a time keeps a customer's records in order when one has to be repeated.
    limits = Limits(rows=500, bytes=900_000, concurrency=1)
    example: ClassVar[Mapping[str, Any]] = {"type": "kafka", "topic": "churn-for-marketing"}

    def faults(self, prefix: str) -> Iterator[str]:
        from streams.topics import INTERNAL

        if not self.options.topic or self.options.topic in INTERNAL:
            yield f"{prefix}topic = {self.options.topic!r}: allowed: a topic of your own, none of {', '.join(INTERNAL)}"

    @property
    def account(self) -> str:
        return self.options.topic

    def build(self, changes: Sequence[Change], at: float) -> Request:
        """Pairs of key and value, each of which becomes a record."""
        records = [[change.id, None if self._gone(change) else self._value(change)] for change in changes]
        return Request("PRODUCE", self.options.topic, {}, orjson.dumps(records), changes[0].key)

    def _gone(self, change: Change) -> bool:
        return self.options.mode == "mirror" and change.kind == "exited"

    def _value(self, change: Change) -> dict[str, Any]:
        told = {"customer_id": change.id, "kind": change.kind, "message_id": change.key}
        return told | {"scored_at": change.score.scored_at} | change.payload


DESTINATION = Kafka
