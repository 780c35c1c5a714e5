"""One writer per warehouse: an advisory lock that the system drops with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from streams.warehouse.errors import WarehouseInUse


class WriterLock:
    """Holds `writer.lock` from construction until `release`. The file names the holder, for people.

    Raises
    ------
    WarehouseInUse
        Another writer holds it, in this process or another.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "an unnamed process"
            self._file.close()
            raise WarehouseInUse(
                f"cannot write to the warehouse in '{path.parent}': {holder} writes there already; "
                "stop that process, or give this one another data_dir (readers open snapshots, they need no lock)"
            ) from None
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let the next writer in. Safe to call again."""
        self._file.close()
