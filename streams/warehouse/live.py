"""The live file: how DuckDB opens it, and what its errors mean."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from streams.warehouse import schema
from streams.warehouse.errors import WarehouseDamaged, WarehouseError, WarehouseInUse

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    # One thread keeps the writer to one core; reading and scoring need the others.
    "threads": 1,
    "memory_limit": "1GB",
    # Any DuckDB since 1.0 can open the snapshots; the newer formats gain nothing here.
    "storage_compatibility_version": "v1.0.0",
    # The usual 16 MB makes every few batches rewrite row groups; publishing checkpoints often enough.
    "checkpoint_threshold": "128MB",
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


def open_live(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the live file for writing; make it, with its tables, if missing.

    Raises
    ------
    WarehouseInUse
        Another process has the file open.
    WarehouseDamaged
        It is not a readable warehouse of this version.
    """
    if path.exists():
        # A snapshot copied back as the live file is read-only, as snapshots are.
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    try:
        connection = duckdb.connect(str(path), config=_CONFIG)
    except duckdb.Error as error:
        if "Could not set lock" in str(error):
            raise WarehouseInUse(
                f"cannot open '{path}' for writing: {error}; end that process: readers open the files in "
                f"'{path.parent / 'snapshots'}', never the live file"
            ) from error
        raise WarehouseDamaged(f"cannot open '{path}': {error}; {_remedy(path)}") from error
    try:
        schema.create(connection)
    except (duckdb.Error, WarehouseDamaged) as error:
        connection.close()
        raise WarehouseDamaged(f"cannot use '{path}': {error}; {_remedy(path)}") from error
    return connection


def roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    """End a failed transaction."""
    try:
        connection.execute("ROLLBACK")
    except duckdb.Error:
        # The failure that brought us here has ended the transaction, or the whole database, already.
        return


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn DuckDB's errors into a WarehouseError that names the file."""
    try:
        yield
    except duckdb.Error as error:
        raise WarehouseError(f"cannot write to '{path}': {error}; {_remedy(path)}") from error


def _remedy(path: Path) -> str:
    return (
        f"if it is damaged, delete it and '{path.name}.wal', then either copy the newest file of "
        f"'{path.parent / 'snapshots'}' into its place, and reading goes on from there, or let it be built again from "
        "the topics (a compacted topic keeps only the newest score of each customer)"
    )
