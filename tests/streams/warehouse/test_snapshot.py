"""Snapshots: whole, immutable, readable by others while the writer runs, whatever kills it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from streams.warehouse import snapshot as snapshots
from streams.warehouse.errors import NoSnapshot
from streams.warehouse.snapshot import Publisher, live_path, newest, snapshots_dir
from streams.warehouse.writer import Batch, Position, WarehouseWriter
from tests.streams.warehouse import victim
from tests.streams.warehouse.support import batch_of, dump, make_label, make_score

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)

_READER = """
import duckdb, pathlib, sys
folder, seen = pathlib.Path(sys.argv[1]), set()
print("ready", flush=True)
while sys.stdin.readline():
    path = folder / (folder / "CURRENT").read_text().strip()
    with duckdb.connect(str(path), read_only=True) as connection:
        (number, rows), = connection.sql("SELECT number, scores_history FROM snapshot_info").fetchall()
        found = [connection.sql(f"SELECT count(*) FROM {t}").fetchall()[0][0] for t in ("scores_history", "features")]
        assert found == [rows, rows], (number, rows, found)
        assert connection.sql("SELECT count(*) FROM likely_to_churn").fetchall() == connection.sql(
            "SELECT count(*) FROM scores").fetchall()
        print(number, rows, flush=True)
"""


@pytest.fixture
def writer(tmp_path: Path):
    writer = WarehouseWriter(live_path(tmp_path))
    yield writer
    writer.close()


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in snapshots_dir(tmp_path).iterdir())


def test_without_a_snapshot_the_error_says_who_makes_one(tmp_path: Path) -> None:
    """Asking too early is answered with what publishes."""
    with pytest.raises(NoSnapshot, match="nothing was published yet; the warehouse role publishes"):
        newest(tmp_path)


def test_a_pointer_to_nothing_is_not_followed(tmp_path: Path) -> None:
    """A pointer that names a missing file, or leads out of the folder, is an error."""
    snapshots_dir(tmp_path).mkdir(parents=True)
    (tmp_path / "warehouse" / "outside.duckdb").touch()
    for name in ("ebbtide-7.duckdb", "../outside.duckdb", ""):
        (snapshots_dir(tmp_path) / "CURRENT").write_text(name)

        with pytest.raises(NoSnapshot, match="CURRENT names it"):
            newest(tmp_path)


def test_a_snapshot_is_the_file_and_says_which_it_is(tmp_path: Path, writer: WarehouseWriter) -> None:
    """It has all rows and positions of the live file, its number, time and counts."""
    writer.apply(batch_of([make_score(), make_score("bob", 2)], [make_label()]))
    published = Publisher(writer, snapshots_dir(tmp_path), 3).publish(NOW)
    with duckdb.connect(str(newest(tmp_path)), read_only=True) as connection:
        times = "created_at::VARCHAR AS created_at, event_watermark::VARCHAR AS event_watermark"
        info = connection.execute(f"SELECT * REPLACE ({times}) FROM snapshot_info").fetchall()
    writer.close()

    assert published.path == newest(tmp_path)
    assert info == [(1, "2026-02-03 04:05:06", "2026-01-01 00:00:00.125", 2, 2, 1, 1)]
    assert dump(published.path) == dump(live_path(tmp_path))


def test_a_snapshot_never_changes(tmp_path: Path, writer: WarehouseWriter) -> None:
    """Later batches and snapshots leave the bytes of an older one alone, and it cannot be written by mistake."""
    publisher = Publisher(writer, snapshots_dir(tmp_path), 3)
    writer.apply(batch_of([make_score()]))
    first = publisher.publish(NOW).path
    before = first.read_bytes()
    writer.apply(batch_of([make_score(revision=2)], offset=1))
    publisher.publish(NOW)

    assert first.read_bytes() == before
    assert first.stat().st_mode & 0o777 == 0o444


def test_old_snapshots_go_and_the_current_one_stays(tmp_path: Path, writer: WarehouseWriter) -> None:
    """The newest few are kept, numbers grow, and a reader of a removed one keeps reading."""
    publisher = Publisher(writer, snapshots_dir(tmp_path), 2)
    writer.apply(batch_of([make_score()]))
    first = publisher.publish(NOW)
    with duckdb.connect(str(first.path), read_only=True) as reader:
        for _ in range(3):
            publisher.publish(NOW)
        read = reader.execute("SELECT customer_id FROM scores").fetchall()

    assert names(tmp_path) == ["CURRENT", "ebbtide-3.duckdb", "ebbtide-4.duckdb"]
    assert newest(tmp_path).name == "ebbtide-4.duckdb"
    assert read == [("ada",)]


def test_keeping_one_keeps_the_current_one(tmp_path: Path, writer: WarehouseWriter) -> None:
    """With keep 1 the pointer always names a file that is there."""
    publisher = Publisher(writer, snapshots_dir(tmp_path), 1)
    for _ in range(3):
        publisher.publish(NOW)

        assert newest(tmp_path).is_file()
    assert names(tmp_path) == ["CURRENT", "ebbtide-3.duckdb"]


def test_only_changes_make_it_stale(tmp_path: Path, writer: WarehouseWriter) -> None:
    """A new process publishes once; then only rows make the snapshot stale, not moved offsets."""
    publisher = Publisher(writer, snapshots_dir(tmp_path), 3)
    seen = [publisher.stale]
    publisher.publish(NOW)
    seen.append(publisher.stale)
    writer.apply(Batch(positions={("scores", 0): Position(5)}))
    seen.append(publisher.stale)
    writer.apply(batch_of([make_score()]))
    seen.append(publisher.stale)

    assert seen == [True, False, False, True]


def test_leftovers_of_a_crash_are_cleaned(tmp_path: Path, writer: WarehouseWriter) -> None:
    """Unfinished copies go at the start; a finished one that nobody points to is not overwritten."""
    folder = snapshots_dir(tmp_path)
    folder.mkdir(parents=True)
    (folder / "ebbtide-4.duckdb.tmp").write_bytes(b"half")
    (folder / "CURRENT.tmp").write_bytes(b"half")
    (folder / "ebbtide-3.duckdb").write_bytes(b"whole")
    published = Publisher(writer, folder, 3).publish(NOW)

    assert published.number == 4
    assert names(tmp_path) == ["CURRENT", "ebbtide-3.duckdb", "ebbtide-4.duckdb"]


def test_a_failed_copy_leaves_the_old_snapshot(
    tmp_path: Path, writer: WarehouseWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk is full the pointer stays, nothing half is left, and the snapshot is still due."""
    publisher = Publisher(writer, snapshots_dir(tmp_path), 3)
    publisher.publish(NOW)
    writer.apply(batch_of([make_score()]))

    def full(*_: object) -> None:
        raise OSError(28, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "_copy_bytes", full)
        with pytest.raises(OSError, match="no space left"):
            publisher.publish(NOW)

    assert (newest(tmp_path).name, publisher.stale) == ("ebbtide-1.duckdb", True)
    assert names(tmp_path) == ["CURRENT", "ebbtide-1.duckdb"]
    assert publisher.publish(NOW).number == 2


def test_a_snapshot_in_the_place_of_the_live_file_goes_on_from_there(tmp_path: Path, writer: WarehouseWriter) -> None:
    """The way out of a damaged live file: a copied snapshot has the rows and the positions that belong to them."""
    publisher = Publisher(writer, snapshots_dir(tmp_path), 3)
    writer.apply(batch_of([make_score()]))
    publisher.publish(NOW)
    writer.apply(batch_of([make_score(revision=2)], offset=1))
    writer.close()
    live_path(tmp_path).unlink()
    shutil.copy(newest(tmp_path), live_path(tmp_path))
    restored = WarehouseWriter(live_path(tmp_path))
    position = restored.positions()[("scores", 0)]
    applied = restored.apply(batch_of([make_score(revision=2)], offset=1))
    restored.close()

    assert (position.next_offset, applied.scores_history) == (1, 1)


def test_copying_works_without_the_kernels_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where copy_file_range is not possible, the copy is made in user space."""

    def refuse(*_: object) -> int:
        raise OSError(18, "invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    (tmp_path / "a").write_bytes(b"x" * 10_000)
    snapshots._copy(tmp_path / "a", tmp_path / "b")

    assert (tmp_path / "b").read_bytes() == b"x" * 10_000


def test_another_process_reads_while_the_writer_writes(tmp_path: Path, writer: WarehouseWriter) -> None:
    """Plain DuckDB opens every snapshot during writing, and finds a consistent state each time."""
    publisher = Publisher(writer, snapshots_dir(tmp_path), 2)
    publisher.publish(NOW)
    command = [sys.executable, "-c", _READER, str(snapshots_dir(tmp_path))]
    told = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        reader.stdout.readline()
        for turn in range(1, 13):
            writer.apply(batch_of([make_score(f"c{i}", turn) for i in range(20)], offset=20 * turn))
            publisher.publish(NOW)
            reader.stdin.write("go\n")
            reader.stdin.flush()
            writer.apply(batch_of([make_score("in between", turn)], offset=20 * turn))
            told.append(reader.stdout.readline().split())

    assert reader.returncode == 0
    assert told == [[str(turn + 1), str(20 * turn + turn - 1)] for turn in range(1, 13)]


def test_kill_9_anywhere_changes_nothing(tmp_path: Path) -> None:
    """A writer killed again and again ends with the tables of one that was left alone; the pointer always holds."""
    dice = random.Random(5)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    victim.run(str(undisturbed))
    for _ in range(2):
        assert _strike(killed, dice.randrange(6, 14)) == -signal.SIGKILL
        if snapshots_dir(killed).joinpath("CURRENT").exists():
            with duckdb.connect(str(newest(killed)), read_only=True) as connection:
                counted = connection.execute("SELECT scores_history FROM snapshot_info").fetchall()
                assert counted == connection.execute("SELECT count(*) FROM scores_history").fetchall()
    assert _strike(killed, None) == 0

    assert dump(live_path(killed)) == dump(live_path(undisturbed))
    assert dump(newest(killed)) == dump(newest(undisturbed))
    assert not list(snapshots_dir(killed).glob("*.tmp"))


def _strike(data_dir: Path, lines: int | None) -> int:
    """Run the victim and kill it after so many lines; None lets it finish. Returns its exit status."""
    command = [sys.executable, "-m", "tests.streams.warehouse.victim", str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for number, _ in enumerate(process.stdout, start=1):
            if number == lines:
                process.kill()
                break
    return process.returncode
