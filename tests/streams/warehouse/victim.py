"""A writer process to be killed: applies a fixed stream of records to the file it is given, from where it stopped.

    python -m tests.streams.warehouse.victim DATA_DIR

It prints a line for every batch and every snapshot, so that the parent can choose where to strike.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from models.records import LabelRecord
from streams.topics import LABELS, SCORES
from streams.warehouse.decode import Decoder
from streams.warehouse.intake import read_batch
from streams.warehouse.snapshot import Publisher, live_path, snapshots_dir
from streams.warehouse.writer import Partition, Position, WarehouseWriter
from tests.streams.warehouse.support import Record, encode, make_label, make_pending, make_score

BATCH = 40
RECORDS = 1000
PARTITIONS: tuple[Partition, ...] = ((SCORES, 0), (SCORES, 1), (LABELS, 0))


def stream() -> Iterator[tuple[Partition, Record]]:
    """The records of three partitions, with repetitions, late revisions, new features, deletions and bad ones."""
    dice = random.Random(11)
    offsets = dict.fromkeys(PARTITIONS, 0)
    for number in range(RECORDS):
        partition = dice.choice(PARTITIONS)
        record = Record(offsets[partition], *_value_and_key(partition, number, dice))
        offsets[partition] += 1
        yield partition, record


def _value_and_key(partition: Partition, number: int, dice: random.Random) -> tuple[bytes | None, bytes]:
    customer = f"{partition[1]}-{dice.randrange(60)}"
    if partition[0] == LABELS:
        return encode(_label(dice.randrange(200), dice, customer_id=customer)), b""
    if dice.random() < 0.02:
        return (None, customer.encode()) if dice.random() < 0.5 else (b"broken", b"")
    features: dict[str, float | None] = {f"f{i}": dice.random() for i in range(5 + number // 250)}
    return encode(make_score(customer, dice.randrange(1, 30), features=features)), customer.encode()


def _label(number: int, dice: random.Random, customer_id: str) -> LabelRecord:
    make = make_pending if dice.random() < 0.4 else make_label
    return make(number, customer_id=customer_id, horizon_days=dice.choice((7.0, 30.0)))


def run(data_dir: str) -> None:
    """Apply what is left of the stream; publish after every fifth batch."""
    writer = WarehouseWriter(live_path(data_dir))
    publisher = Publisher(writer, snapshots_dir(data_dir), 3)
    decoder = Decoder(writer.features)
    positions = dict.fromkeys(PARTITIONS, Position(0)) | writer.positions()
    left: list[tuple[Partition, Any]] = [one for one in stream() if one[1].offset >= positions[one[0]].next_offset]
    for number, start in enumerate(range(0, len(left), BATCH)):
        batch, _ = read_batch(decoder, left[start : start + BATCH], positions)
        writer.apply(batch)
        positions |= batch.positions
        print("batch", flush=True)
        if number % 5 == 4:
            publisher.publish(datetime.now(UTC))
            print("snapshot", flush=True)
    publisher.publish(datetime.now(UTC))
    writer.close()


if __name__ == "__main__":
    run(sys.argv[1])
