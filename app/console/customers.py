"""The customers most at risk and the quality of the model, as the newest snapshot has them; runs in a thread."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from app.console.overview import Plain, Table
from app.words import brief_amount, meaning
from models.settings import Settings
from streams.warehouse import query
from streams.warehouse.errors import WarehouseError
from streams.warehouse.quality_query import quality
from streams.warehouse.snapshot import newest

MOST = 20


class SnapshotReader:
    """Reads a snapshot once; it never changes, so the next call only looks whether there is a newer one."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._table = Table()

    def __call__(self, settings: Settings) -> Table:
        """The newest snapshot's table; without a snapshot an empty one that says why."""
        try:
            path = newest(settings.data_dir)
            if path != self._path:
                self._table, self._path = _read(path), path
        except WarehouseError as error:
            self._path = None
            return Table(problem=str(error))
        return self._table


def _read(path: Path) -> Table:
    figures = query.summary(path)
    info = figures["snapshot"] or {}
    created_at = info.get("created_at")
    return Table(
        name=path.name,
        created_at=None if created_at is None else datetime.fromisoformat(created_at).timestamp(),
        bands=figures["bands"],
        quality=quality(path),
        customers=tuple(_customer(row) for row in query.customers_at_risk(path, MOST)),
    )


def _customer(row: dict[str, Any]) -> Plain:
    reasons = [
        {
            "feature": reason["feature"],
            "meaning": reason["text"] or meaning(reason["feature"]),
            "amount": brief_amount(reason["feature"], reason["value"]),
            "contribution": reason["contribution"],
        }
        for reason in row["reasons"] or ()
    ]
    return {name: row[name] for name in ("customer_id", "probability", "band")} | {"reasons": reasons}
