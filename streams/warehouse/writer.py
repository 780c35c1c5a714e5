"""The single writer: applies batches to the live file, rows and offsets in one transaction.

What a batch does is the same however the records are cut into batches, and applying it again changes nothing:

- `scores_history` and `features` take a score once; a score is known by its `score_id`.
- `scores` moves forward only: by generation of the topic, then by revision; of equals, the later record stays.
- `labels` holds the last line of the ledger per prediction and horizon; see `labels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from models.records import LabelRecord
from models.settings import WarehouseSettings
from streams.warehouse import schema
from streams.warehouse.columns import feature_table, score_table
from streams.warehouse.decode import ScoreRow
from streams.warehouse.errors import WarehouseError
from streams.warehouse.findings import Findings, put_findings
from streams.warehouse.labels import put_labels
from streams.warehouse.live import naming, open_live, roll_back
from streams.warehouse.lock import WriterLock
from streams.warehouse.retention import forget_old

#: (logical topic, partition)
Partition = tuple[str, int]

_CURRENT = """
SELECT customer_id, generation, revision, rowid FROM scores SEMI JOIN arriving USING (customer_id)"""

_STAMP = """
INSERT INTO snapshot_info SELECT ?, ?, (SELECT max(event_watermark) FROM scores), (SELECT count(*) FROM scores),
    (SELECT count(*) FROM scores_history), (SELECT count(*) FROM labels),
    (SELECT count(*) FROM labels WHERE status <> 'pending')"""

_INSERT_POSITIONS = """
INSERT INTO consumed SELECT
    unnest(?::VARCHAR[]), unnest(?::BIGINT[]), unnest(?::BIGINT[]), unnest(?::BIGINT[]), unnest(?::VARCHAR[])"""

_BY_CUSTOMER = ("scores", "scores_history", "features", "labels")


class Position(msgspec.Struct, frozen=True):
    """How far a partition is applied. `generation` counts how often its topic had begun anew."""

    next_offset: int
    generation: int = 0
    cluster_id: str = ""


class Batch(msgspec.Struct):
    """What one transaction applies: erasures first, then rows, then the positions behind all of them.

    `scores` must not hold rows of an erased customer that came before the erasure.
    """

    scores: list[ScoreRow] = []
    labels: list[LabelRecord] = []
    erased: set[str] = set()
    positions: dict[Partition, Position] = {}


class Applied(msgspec.Struct, frozen=True):
    """Customers whose current score a batch replaced or added, rows it added to the history, labels likewise."""

    scores: int = 0
    scores_history: int = 0
    labels: int = 0


class WarehouseWriter:
    """Owns the live file at `path` until `close`. Not thread-safe: use it from one thread at a time.

    Parameters
    ----------
    path
        The live file; made if missing, together with its folder.
    meanings
        Feature name to description, for the comments of new feature columns.

    Raises
    ------
    WarehouseInUse
        Another process writes to this folder, or has the live file open.
    WarehouseDamaged
        The file is not a readable warehouse of this version.
    """

    def __init__(self, path: Path, meanings: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._meanings = meanings or {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = WriterLock(path.parent / "writer.lock")
        try:
            self._connection = open_live(path)
        except WarehouseError:
            self._lock.release()
            raise
        self.features = schema.feature_columns(self._connection)
        #: Grows with every batch that changed rows.
        self.changes = 0

    def positions(self) -> dict[Partition, Position]:
        """How far each partition is in the file."""
        rows = self._connection.execute(
            "SELECT topic, partition, next_offset, generation, cluster_id FROM consumed"
        ).fetchall()
        return {(topic, partition): Position(*rest) for topic, partition, *rest in rows}

    def rows(self) -> dict[str, int]:
        """Rows per table."""
        counts = {}
        for table in _BY_CUSTOMER:
            counts[table] = int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])  # noqa: S608
        return counts

    def apply(self, batch: Batch) -> Applied:
        """Apply a batch and its positions in one transaction; after an error nothing of it is there.

        Raises
        ------
        WarehouseError
            DuckDB could not write, for example because the disk is full.
        """
        features = self.features
        try:
            with self._transaction():
                self._erase(batch.erased)
                newest, history = self._add_scores(batch.scores)
                labels = put_labels(self._connection, batch.labels) if batch.labels else 0
                self._move(batch.positions)
        except BaseException:
            self.features = features
            raise
        self.changes += bool(batch.scores or batch.labels or batch.erased)
        return Applied(scores=newest, scores_history=history, labels=labels)

    def note(self, findings: Findings, keep: WarehouseSettings) -> None:
        """Write what an analysis found, and drop what is older than is to be kept. Raises WarehouseError."""
        if findings.empty:
            return
        with self._transaction():
            put_findings(self._connection, findings)
            forget_old(self._connection, findings.clock, keep)
        self.changes += 1

    def move(self, positions: Mapping[Partition, Position]) -> None:
        """Set positions without rows, where a topic began anew. Raises WarehouseError."""
        with self._transaction():
            self._move(positions)

    def stamp(self, number: int, created_at: datetime) -> None:
        """Say in the file which snapshot it becomes, and bring the file up to date on disk. Raises WarehouseError."""
        with self._transaction():
            self._connection.execute("DELETE FROM snapshot_info")
            self._connection.execute(_STAMP, [number, created_at.replace(tzinfo=None)])
        with naming(self.path):
            self._connection.execute("CHECKPOINT")

    def close(self) -> None:
        """Close the file and let the next writer in. Safe to call again."""
        self._connection.close()
        self._lock.release()

    def _erase(self, customers: Iterable[str]) -> None:
        names = sorted(customers)
        if names:
            for table in _BY_CUSTOMER:
                self._connection.execute(
                    f"DELETE FROM {table} WHERE customer_id IN (SELECT unnest(?::VARCHAR[]))",  # noqa: S608
                    [names],
                )

    def _add_scores(self, rows: Sequence[ScoreRow]) -> tuple[int, int]:
        if not rows:
            return 0, 0
        table = score_table(rows)
        with self._view("arriving", table.select(["customer_id"])):
            current = {c: tuple(rest) for c, *rest in self._connection.execute(_CURRENT).fetchall()}
        known = self._known_scores(rows, current)
        fresh = [index for index in _first_of_each(rows) if rows[index].score.score_id not in known]
        self._insert("scores_history", _taken(table, fresh))
        self._add_features([rows[index] for index in fresh])
        newest = _newest_of_each(rows, current)
        self._replace(table, newest, current)
        return len(newest), len(fresh)

    def _known_scores(self, rows: Sequence[ScoreRow], current: Mapping[str, tuple[int, int, int]]) -> set[str]:
        """The score ids that the history has already.

        While the topic has never begun anew, a revision beyond the customer's newest cannot be there, so only the
        others are looked up. That keeps the cost of a batch from growing with the history.
        """
        suspects = []
        for row in rows:
            held = current.get(row.score.customer_id)
            if held and not (row.generation == held[0] == 0 and row.score.revision > held[1]):
                suspects.append(row.score.score_id)
        if not suspects:
            return set()
        found = self._connection.execute(
            "SELECT DISTINCT score_id FROM scores_history WHERE score_id IN (SELECT unnest(?::VARCHAR[]))", [suspects]
        ).fetchall()
        return {score_id for (score_id,) in found}

    def _replace(self, table: Any, newest: list[int], current: Mapping[str, tuple[int, int, int]]) -> None:
        """Put these rows of `table` in the place of their customers' current scores.

        Deleting by row id and appending costs half of a MERGE, which reads every column of every customer.
        """
        chosen = _taken(table, newest)
        customers = chosen.column("customer_id").to_pylist()
        replaced = [current[customer][2] for customer in customers if customer in current]
        with self._view("replaced", pa.table({"row": pa.array(replaced, pa.int64())})):
            self._connection.execute("DELETE FROM scores WHERE rowid IN (SELECT row FROM replaced)")
        self._insert("scores", chosen)

    def _add_features(self, rows: Sequence[ScoreRow]) -> None:
        if not rows:
            return
        table = feature_table(rows)
        missing = [name for name in table.column_names if name not in {*schema.RESERVED_NAMES, *self.features}]
        schema.add_features(self._connection, missing, self._meanings)
        self.features = self.features + missing
        self._insert("features", table)

    def _move(self, positions: Mapping[Partition, Position]) -> None:
        if not positions:
            return
        columns = [[topic for topic, _ in positions], [partition for _, partition in positions]]
        self._connection.execute(
            "DELETE FROM consumed WHERE (topic, partition) IN (SELECT unnest(?::VARCHAR[]), unnest(?::BIGINT[]))",
            columns,
        )
        columns += [[getattr(p, name) for p in positions.values()] for name in Position.__struct_fields__]
        self._connection.execute(_INSERT_POSITIONS, columns)

    def _insert(self, table: str, rows: Any) -> None:
        if rows.num_rows:
            with self._view("arriving", rows):
                self._connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM arriving")  # noqa: S608

    @contextmanager
    def _view(self, name: str, rows: Any) -> Iterator[None]:
        """Let SQL see an Arrow table under a name. After an error the name goes with the transaction."""
        self._connection.register(name, rows)
        yield
        self._connection.unregister(name)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with naming(self.path):
            self._connection.execute("BEGIN")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                roll_back(self._connection)
                raise


def _first_of_each(rows: Sequence[ScoreRow]) -> list[int]:
    """Index of the first row of each score id."""
    firsts: dict[str, int] = {}
    for index, row in enumerate(rows):
        firsts.setdefault(row.score.score_id, index)
    return list(firsts.values())


def _newest_of_each(rows: Sequence[ScoreRow], current: Mapping[str, tuple[int, int, int]]) -> list[int]:
    """Index of each customer's newest row, where it is at least as new as the current one; of equals, the last."""
    newest: dict[str, tuple[int, int, int]] = {}
    for index, row in enumerate(rows):
        customer, rank = row.score.customer_id, (row.generation, row.score.revision, index)
        held = newest.get(customer) or current.get(customer)
        if held is None or rank[:2] >= held[:2]:
            newest[customer] = rank
    return [index for _, _, index in newest.values()]


def _taken(table: Any, indices: list[int]) -> Any:
    return table if len(indices) == table.num_rows else table.take(pa.array(indices, pa.int64()))
