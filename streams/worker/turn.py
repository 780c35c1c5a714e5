"""One turn of a partition: what it takes in, and the records of what it brings forth."""

from __future__ import annotations

from collections import Counter

import msgspec

from models.engine import Flush, Outcome
from models.features.layout import NEVER
from streams.chunks import Outgoing
from streams.topics import EXAMPLES, LABELS, SCORES
from streams.worker.align import Item
from streams.worker.outbox import Place

_json = msgspec.json.Encoder()


class Turn:
    """`flushes` holds what is not sent yet, `clock` (epoch seconds) is that of the last of them."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.flushes: list[Flush] = []
        self.outcomes: Counter[Outcome] = Counter()
        self.clock = NEVER

    def records(self, number: int) -> tuple[dict[Place, list[Outgoing]], list[Outgoing]]:
        """What the flushes of partition `number` brought forth: outputs by place, and states."""
        outputs: dict[Place, list[Outgoing]] = {}
        states: list[Outgoing] = []
        for flush in self.flushes:
            if flush.scores:
                scores = [Outgoing(_key(score.customer_id), _json.encode(score)) for score in flush.scores]
                outputs.setdefault((SCORES, number), []).extend(scores)
            if flush.examples:
                examples = [Outgoing(_key(one.customer_id), _json.encode(one)) for one in flush.examples]
                outputs.setdefault((EXAMPLES, 0), []).extend(examples)
            if flush.labels:
                labels = [Outgoing(_key(one.customer_id), _json.encode(one)) for one in flush.labels]
                outputs.setdefault((LABELS, number), []).extend(labels)
            states += [Outgoing(_key(customer_id), value) for customer_id, value in flush.states]
        return outputs, states


def _key(customer_id: str) -> bytes:
    return customer_id.encode("utf-8", "replace")
