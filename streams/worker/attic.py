"""Customers that were silent for so long that they left memory, in a SQLite file per partition.

Why it can be trusted after a crash at any moment:

- A customer's state is in memory, or in the attic, or both; memory always wins, and rows are never deleted, only
  replaced when the customer is evicted again. So an *older* snapshot with a *newer* attic is right too: whoever was
  evicted since then is still in the snapshot, or has a record in the changelog behind it.
- A *newer* snapshot with an *older* attic would miss customers. Hence every eviction is committed before the next
  snapshot, which notes the attic's id and number of writes; if those do not fit, all is read from the changelog,
  and a new attic is begun.
- Only the process that took the attic last may write (`own`): a paused one that wakes up would store old states.
"""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterable
from pathlib import Path

import xxhash

_SCHEMA = """
CREATE TABLE IF NOT EXISTS customers (id TEXT PRIMARY KEY, state BLOB NOT NULL, checksum BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attic (id TEXT NOT NULL, owner TEXT NOT NULL, writes INTEGER NOT NULL);
"""
_BUSY_S = 10.0


class AtticUnusable(Exception):  # noqa: N818 - reads as the fact that it states
    """The attic is damaged, cannot be written, or was taken over by another process."""


class Attic:
    """See the module's docstring. One instance per assignment of a partition; close it at the end.

    A file that is no attic is replaced by an empty one. Raises AtticUnusable if that cannot be done.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._owner = uuid.uuid4().hex
        # Writes happen in threads, and a cancelled one goes on: it must not find the file closed.
        self._writing = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open_or_replace()
        except (OSError, sqlite3.Error) as exc:
            raise self._unusable("open", exc) from exc

    def reset(self) -> None:
        """Forget everyone and begin a new attic with an id of its own."""
        try:
            with self._writing:
                self._db.close()
                self._remove()
                self._open()
        except (OSError, sqlite3.Error) as exc:
            raise self._unusable("replace", exc) from exc

    def put(self, evicted: Iterable[tuple[str, bytes]]) -> None:
        """Store states durably. Raises AtticUnusable."""
        rows = [(customer_id, state, _checksum(customer_id, state)) for customer_id, state in evicted]
        try:
            with self._writing, self._db:
                self._db.execute("BEGIN IMMEDIATE")
                changed = self._db.execute(
                    "UPDATE attic SET writes = writes + 1 WHERE id = ? AND owner = ?", (self.id, self._owner)
                ).rowcount
                if not changed:
                    msg = f"cannot write attic {self.path}: another process has taken it over"
                    raise AtticUnusable(msg)
                self._db.executemany("INSERT OR REPLACE INTO customers VALUES (?, ?, ?)", rows)
        except sqlite3.Error as exc:
            raise self._unusable("write", exc) from exc
        self.writes += 1
        self._empty = False

    def take(self, customer_id: str) -> bytes | None:
        """The state of an evicted customer, None if unknown. The row stays.

        Raises AtticUnusable; if the cause is damage, the file is removed.
        """
        if self._empty:
            return None
        try:
            return self._find(customer_id)
        except sqlite3.OperationalError as exc:
            raise self._unusable("read", exc) from exc
        except sqlite3.DatabaseError as exc:
            # The next start finds no attic that fits its snapshot, and reads all from the changelog.
            self._remove()
            raise self._unusable("use", exc) from exc

    def close(self) -> None:
        """Close the file."""
        with self._writing:
            self._db.close()

    def _find(self, customer_id: str) -> bytes | None:
        row = self._db.execute("SELECT state, checksum FROM customers WHERE id = ?", (customer_id,)).fetchone()
        if row is not None and row[1] != _checksum(customer_id, row[0]):
            msg = f"checksum of customer {customer_id!r} does not match"
            raise sqlite3.DatabaseError(msg)
        return None if row is None else bytes(row[0])

    def _open_or_replace(self) -> None:
        try:
            self._open()
        except sqlite3.OperationalError:
            # A full disk or a lock: the file may be good.
            raise
        except sqlite3.DatabaseError:
            self._remove()
            self._open()

    def _open(self) -> None:
        # Autocommit, so that transactions are exactly those that `put` begins. Writes go through a thread.
        self._db = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            if self._db.execute("UPDATE attic SET owner = ?", (self._owner,)).rowcount != 1:
                self._db.execute("DELETE FROM attic")
                self._db.execute("DELETE FROM customers")
                self._db.execute("INSERT INTO attic VALUES (?, ?, 0)", (uuid.uuid4().hex, self._owner))
        self.id, self.writes = self._db.execute("SELECT id, writes FROM attic").fetchone()
        self._empty = self._db.execute("SELECT 1 FROM customers LIMIT 1").fetchone() is None

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _unusable(self, tried: str, exc: Exception) -> AtticUnusable:
        return AtticUnusable(f"cannot {tried} attic {self.path}: {exc}")


def _checksum(customer_id: str, state: bytes) -> bytes:
    return xxhash.xxh3_64_digest(state, seed=xxhash.xxh32_intdigest(customer_id.encode("utf-8", "surrogatepass")))
