"""A ledger of several months with known chances, as the warehouse would have it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from models.features import FEATURE_NAMES
from models.records import LabelRecord
from streams.warehouse.decode import Decoder
from streams.warehouse.snapshot import Publisher, Snapshot, snapshots_dir
from streams.warehouse.writer import Batch, WarehouseWriter
from tests.streams.warehouse.support import encode, make_label, make_score

DAY = 86_400.0
#: The midnight at which the first prediction is made, in days from 1970.
FIRST = 20_000


def ledger(customers: int, weeks: int, until: float, seed: int = 1) -> list[LabelRecord]:
    """A prediction per customer and week with a horizon of 7 days; those due by `until` (epoch seconds) matured.

    The emitted probabilities are the true chances, the rule says less, the model `bold` is not calibrated.
    """
    dice = np.random.default_rng(seed)
    found = []
    for week in range(weeks):
        chance = 1.0 / (1.0 + np.exp(-dice.normal(-1.0, 1.5, customers)))
        left = dice.random(customers) < chance
        for i in range(customers):
            as_of = (FIRST + 7 * week + i % 7) * DAY + 3600.0 + i
            found.append(_line(f"c{i}", as_of, float(chance[i]), int(left[i]), until))
    return found


def _line(customer: str, as_of: float, chance: float, label: int, until: float) -> LabelRecord:
    due = as_of + 7 * DAY
    known = due <= until
    return make_label(
        customer_id=customer, as_of=as_of, due_at=due, known_at=due if known else as_of, horizon_days=7.0,
        status="matured" if known else "pending", outcome=("stayed", "left")[label] if known else "unknown",
        label=label if known else None, probability=chance, rule_probability=chance / 2 + 0.1,
        prior_probability=0.3, own={"bold": chance**0.25},
    )  # fmt: skip


def told(customer: str, revision: int, as_of: float, probability: float = 0.4, **features: float | None) -> bytes:
    """The value of a score; features that are not given are 1."""
    vector: dict[str, float | None] = dict.fromkeys(FEATURE_NAMES, 1.0)
    moment = datetime.fromtimestamp(as_of, UTC).isoformat(timespec="milliseconds")
    return encode(make_score(customer, revision, as_of=moment, probability=probability, features=vector | features))


def publish(
    tmp_path: Path, writer: WarehouseWriter, labels: Sequence[LabelRecord] = (), scores: Sequence[bytes] = ()
) -> Snapshot:
    """Apply and publish."""
    decoder = Decoder(writer.features)
    writer.apply(Batch(labels=list(labels), scores=[decoder.score(raw, 0) for raw in scores]))
    return Publisher(writer, snapshots_dir(tmp_path), 3).publish(datetime(2026, 1, 1, tzinfo=UTC))
