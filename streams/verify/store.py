"""A temporary DuckDB file that holds one verification: what was read, and what SQL makes of it.

It lives on disk, so the log may be larger than memory, and is gone when the block ends. What was read can be exported
as Parquet and taken in again later, which is how the log of a broker in memory outlives it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

#: `doubtful` is a record of an evicted writer: it counts only where there is no other.
_NEWEST: Final = pa.schema(
    [
        ("customer_id", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()), ("doubtful", pa.bool_()),
        ("value", pa.binary()),
    ]
)  # fmt: skip
#: What is read and what an export consists of: everything that a verification needs to know.
INPUTS: Final[dict[str, pa.Schema]] = {
    "raw": pa.schema(
        [("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()), ("value", pa.binary())]
    ),
    "refused": pa.schema(
        [("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()), ("reason", pa.string())]
    ),
    "states": _NEWEST,
    "scores": _NEWEST,
    "cut": pa.schema([("topic", pa.string()), ("partition", pa.int32()), ("upto", pa.int64())]),
}
#: Sorting and joining spill to the temporary folder beyond this.
_MEMORY: Final = "2GB"
_SQL = files("streams.verify") / "sql"


def sql_of(name: str) -> str:
    """The text of one of the SQL files, `name` without its ending. Raises FileNotFoundError if there is none."""
    return (_SQL / f"{name}.sql").read_text("utf-8")


class Store:
    """See the module's docstring. Not safe for concurrent use."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        for name, schema in INPUTS.items():
            self.create(name, schema)
        for name in ("macros", "catalog"):
            self.run(name)

    def create(self, name: str, schema: pa.Schema) -> None:
        """An empty table, in place of one of the same name."""
        self.connection.register("fresh", schema.empty_table())
        self.connection.execute(f'CREATE OR REPLACE TABLE "{name}" AS SELECT * FROM fresh')  # noqa: S608 - our own names
        self.connection.unregister("fresh")

    def append(self, name: str, rows: pa.Table) -> None:
        """Add rows to a table; their columns have the table's order."""
        self.connection.register("rows_to_add", rows)
        self.connection.execute(f'INSERT INTO "{name}" SELECT * FROM rows_to_add')  # noqa: S608 - our own names
        self.connection.unregister("rows_to_add")

    def append_rows(self, name: str, schema: pa.Schema, rows: Iterable[tuple[Any, ...]]) -> None:
        """The same from tuples."""
        columns = list(zip(*rows, strict=True)) or [()] * len(schema)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        self.append(name, pa.Table.from_arrays(arrays, schema=schema))

    def run(self, name: str) -> None:
        """Run one of the SQL files."""
        self.connection.execute(sql_of(name))

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.connection.execute(query, list(parameters)).fetchall()

    def one(self, query: str, *parameters: Any) -> Any:
        """The only value of a query."""
        return self.rows(query, *parameters)[0][0]

    def newest(self, name: str) -> None:
        """Keep only the newest record of each customer, and none of those that it erases."""
        self.connection.execute(
            f'CREATE OR REPLACE TABLE "{name}" AS SELECT * FROM "{name}" '  # noqa: S608 - our own names
            'QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY doubtful, "partition", "offset" DESC) = 1'
        )
        self.connection.execute(f'DELETE FROM "{name}" WHERE value IS NULL')  # noqa: S608 - our own names

    def export(self, folder: Path) -> None:
        """Write what was read to Parquet files. Raises OSError if the folder cannot be written."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in INPUTS:
            self.connection.table(name).write_parquet(str(folder / f"{name}.parquet"), compression="zstd")

    def restore(self, folder: Path) -> None:
        """Take in what `export` wrote. Raises duckdb.Error if a file is missing or damaged."""
        for name in INPUTS:
            self.connection.read_parquet(str(folder / f"{name}.parquet")).insert_into(name)


@contextmanager
def open_store(folder: Path | None = None) -> Iterator[Store]:
    """A store in a temporary folder (below `folder` if given), removed at the end."""
    with tempfile.TemporaryDirectory(prefix="ebbtide-verify-", dir=folder) as scratch:
        connection = duckdb.connect(str(Path(scratch) / "verify.duckdb"))
        # DuckDB draws its own bars for what takes longer than two seconds, into whatever is being printed.
        connection.execute("SET enable_progress_bar = false")
        try:
            connection.execute(f"SET TimeZone = 'UTC'; SET memory_limit = '{_MEMORY}'")
            connection.execute("SET temp_directory = ?", [str(Path(scratch) / "spill")])
            yield Store(connection)
        finally:
            connection.close()
