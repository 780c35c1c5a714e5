"""What the sync role must remember over a restart, in one small SQLite file per destination.

Every change is its own committed transaction, written before the step that relies on it: an attempt before its
request leaves, an acceptance before its offset may be committed. A killed process therefore loses no knowledge;
what may be lost with the power is the last moment before the operating system wrote it out, and then a
message is sent again under the same id.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

import msgspec

KEEP_DELIVERIES = 100_000
_PRUNE_EVERY = 1_000
_LINE = "customer_id, score_id, outcome, status, attempts, latency_ms, at"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger (
    customer_id TEXT PRIMARY KEY, payload_hash TEXT NOT NULL, likely INTEGER NOT NULL, band TEXT NOT NULL,
    score_id TEXT NOT NULL, revision INTEGER NOT NULL, scored_at TEXT NOT NULL, delivered_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
    customer_id TEXT PRIMARY KEY, score_id TEXT NOT NULL, first_at REAL NOT NULL, attempts INTEGER NOT NULL,
    maybe_likely INTEGER, dead INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY, customer_id TEXT NOT NULL, score_id TEXT NOT NULL, outcome TEXT NOT NULL,
    status INTEGER, attempts INTEGER NOT NULL, latency_ms REAL, at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS deliveries_customer ON deliveries (customer_id);
"""


class LedgerUnusable(RuntimeError):  # noqa: N818 - reads as the fact that it states
    """The ledger file cannot be opened; without it nothing may be sent."""


class Accepted(msgspec.Struct, frozen=True):
    """What the destination last accepted for a customer. `delivered_at` is in epoch seconds."""

    customer_id: str
    payload_hash: str
    likely: bool
    band: str
    score_id: str
    revision: int
    scored_at: str
    delivered_at: float


class Attempt(msgspec.Struct, frozen=True):
    """A score that was tried and not accepted, as far as we know.

    `first_at` is the first attempt in epoch seconds. `maybe_likely` is what the destination may have taken for true
    with its answer lost (likely to churn or not); None if nothing of that kind is open. `dead` means that the
    score went to the dead letters.
    """

    customer_id: str
    score_id: str
    first_at: float
    attempts: int
    maybe_likely: bool | None
    dead: bool


class Delivery(msgspec.Struct, frozen=True):
    """One line of the log: how a score's way ended. `at` in epoch seconds."""

    customer_id: str
    score_id: str
    outcome: str
    status: int | None
    attempts: int
    latency_ms: float | None
    at: float


class Ledger:
    """The open ledger file. Use as a context manager.

    Parameters
    ----------
    path
        The file; its folder is created.
    identity
        Which endpoint the ledger speaks of. If it differs from last time, everything but the log is forgotten: the
        new endpoint has accepted nothing yet.

    Raises
    ------
    LedgerUnusable
        The file is no SQLite database, or cannot be written.
    """

    def __init__(self, path: Path, identity: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=10.0)
            try:
                self._prepare(identity)
            except BaseException:
                self._db.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise LedgerUnusable(
                f"cannot open the ledger {str(path)!r}: {error}; allowed: a writable SQLite file"
            ) from error
        self._logged = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._db.close()

    def accepted(self, customer_id: str) -> Accepted | None:
        row = self._db.execute("SELECT * FROM ledger WHERE customer_id = ?", (customer_id,)).fetchone()
        return None if row is None else Accepted(row[0], row[1], bool(row[2]), *row[3:])

    def attempt(self, customer_id: str) -> Attempt | None:
        row = self._db.execute("SELECT * FROM attempts WHERE customer_id = ?", (customer_id,)).fetchone()
        if row is None:
            return None
        maybe_likely = None if row[4] is None else bool(row[4])
        return Attempt(row[0], row[1], row[2], row[3], maybe_likely, bool(row[5]))

    def note_attempt(self, *attempts: Attempt) -> None:
        """Remember attempts before they are made, or that their scores are dead."""
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?)", map(msgspec.structs.astuple, attempts)
            )

    def note_accepted(self, *accepted: Accepted) -> None:
        """Remember what was accepted; open attempts for the customers are over."""
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?)", map(msgspec.structs.astuple, accepted)
            )
            self._db.executemany("DELETE FROM attempts WHERE customer_id = ?", [(one.customer_id,) for one in accepted])

    def forget(self, customer_id: str) -> None:
        """Erase a customer, the log included."""
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            for table in ("ledger", "attempts", "deliveries"):
                self._db.execute(f"DELETE FROM {table} WHERE customer_id = ?", (customer_id,))  # noqa: S608 - constants

    def log(self, *deliveries: Delivery) -> None:
        """Append to the log, which keeps the newest 100,000 lines."""
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            self._db.executemany(
                f"INSERT INTO deliveries ({_LINE}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant columns
                map(msgspec.structs.astuple, deliveries),
            )
            before, self._logged = self._logged, self._logged + len(deliveries)
            if before // _PRUNE_EVERY != self._logged // _PRUNE_EVERY:
                self._db.execute(
                    "DELETE FROM deliveries WHERE id <= (SELECT max(id) FROM deliveries) - ?", (KEEP_DELIVERIES,)
                )

    def deliveries(self, customer_id: str | None = None, limit: int = 100) -> list[Delivery]:
        """The newest lines of the log, newest first; of one customer, if named."""
        where = "" if customer_id is None else "WHERE customer_id = :customer_id"
        rows = self._db.execute(
            f"SELECT {_LINE} FROM deliveries {where} ORDER BY id DESC LIMIT :limit",  # noqa: S608 - constants
            {"customer_id": customer_id, "limit": limit},
        )
        return [Delivery(*row) for row in rows]

    def position(self, topic: str, partition: int) -> int | None:
        """The offset up to which this ledger knows everything, None if it never saw the partition."""
        row = self._db.execute(
            "SELECT position FROM positions WHERE topic = ? AND partition = ?", (topic, partition)
        ).fetchone()
        return None if row is None else int(row[0])

    def save_positions(self, positions: Mapping[tuple[str, int], int]) -> None:
        rows: Iterable[tuple[str, int, int]] = [(*key, position) for key, position in positions.items()]
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", rows)

    def revive(self, now: float) -> int:
        """Let dead scores be tried again, and ask the lane to read all scores again; returns how many are dead.

        Only the newest score of a customer is sent then: an older one is replaced by it before its turn.
        """
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            count = self._db.execute(
                "UPDATE attempts SET dead = 0, attempts = 0, first_at = ? WHERE dead = 1", (now,)
            ).rowcount
            if count:
                self._db.execute("INSERT OR REPLACE INTO meta VALUES ('read_again', 'yes')")
            return count

    def asked_to_read_again(self) -> bool:
        """Whether somebody asked, and `forget_positions` has not been called since."""
        return self._db.execute("SELECT 1 FROM meta WHERE key = 'read_again'").fetchone() is not None

    def forget_positions(self) -> None:
        """Know of nothing read, so that everything is read again, after a kill too."""
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            self._db.execute("DELETE FROM positions")
            self._db.execute("DELETE FROM meta WHERE key = 'read_again'")

    def _prepare(self, identity: str) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            row = self._db.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()
            if row is not None and row[0] == identity:
                return
            for table in ("ledger", "attempts", "positions"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('identity', ?)", (identity,))


class Figures(msgspec.Struct, frozen=True):
    """How many customers were accepted, are open and are dead; the last delivery in epoch seconds."""

    accepted: int = 0
    open: int = 0
    dead: int = 0
    last_delivered_at: float | None = None


def figures_of(path: Path) -> Figures:
    """The figures of a ledger that another process may be writing; all zero if there is none yet."""
    if not path.exists():
        return Figures()
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10.0)
    try:
        accepted, last = db.execute("SELECT count(*), max(delivered_at) FROM ledger").fetchone()
        dead, tried = db.execute("SELECT total(dead), count(*) FROM attempts").fetchone()
    except sqlite3.Error as error:
        raise LedgerUnusable(f"cannot read the ledger {str(path)!r}: {error}") from error
    finally:
        db.close()
    return Figures(accepted, tried - int(dead), int(dead), last)
