"""From consumer records to the batch that one transaction applies, and the records that cannot be applied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from models.records import LabelRecord
from streams.topics import SCORES
from streams.warehouse.decode import BadRecord, Decoder, ScoreRow
from streams.warehouse.writer import Batch, Partition, Position


class Refused(msgspec.Struct, frozen=True):
    """A record that did not become a row, and why."""

    partition: Partition
    record: Any
    error: BadRecord


def read_batch(
    decoder: Decoder,
    records: Iterable[tuple[Partition, Any]],
    positions: Mapping[Partition, Position],
) -> tuple[Batch, list[Refused]]:
    """Decode records that are in order per partition. One below its partition's position was applied before: skipped.

    The batch's positions lie behind the refused records too, so these must be safe elsewhere before it is applied.
    """
    scores: list[ScoreRow] = []
    labels: list[LabelRecord] = []
    erased: dict[str, int] = {}
    refused: list[Refused] = []
    reached = dict(positions)
    for partition, record in records:
        at = reached[partition]
        if record.offset < at.next_offset:
            continue
        try:
            if partition[0] != SCORES:
                labels.append(decoder.label(record.value))
            elif record.value is None:
                erased[decoder.customer(record.key)] = len(scores)
            else:
                scores.append(decoder.score(record.value, at.generation))
        except BadRecord as error:
            refused.append(Refused(partition, record, error))
        reached[partition] = Position(record.offset + 1, at.generation, at.cluster_id)
    kept = [row for index, row in enumerate(scores) if index >= erased.get(row.score.customer_id, 0)]
    moved = {partition: at for partition, at in reached.items() if at != positions.get(partition)}
    return Batch(scores=kept, labels=labels, erased=set(erased), positions=moved), refused
