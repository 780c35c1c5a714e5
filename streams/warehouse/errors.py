"""What can go wrong with the warehouse's files.

    WarehouseError
    ├── WarehouseInUse      another process writes here, or holds the live file open
    ├── WarehouseDamaged    the live file cannot be read, or has tables of another version
    └── NoSnapshot          nothing was published yet, or the pointer names a file that is gone

`WarehouseInUse` and `WarehouseDamaged` need a person; `NoSnapshot` passes by itself once the role has published.
"""

from __future__ import annotations


class WarehouseError(RuntimeError):
    """The base of every error about the warehouse's files."""


class WarehouseInUse(WarehouseError):  # noqa: N818 - reads as the fact that it states
    """The warehouse has a writer already, or somebody opened the live file."""


class WarehouseDamaged(WarehouseError):  # noqa: N818
    """The live file is not a readable warehouse of this version."""


class NoSnapshot(WarehouseError):  # noqa: N818
    """There is no snapshot to read."""
