"""The local snapshot file: exact, whole or unusable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.table import TableDump
from streams.worker.local import SnapshotHeader, SnapshotUnusable, read_snapshot, remove_scratch, write_snapshot

ROOT = Path(__file__).resolve().parents[3]


def header(layout: str = "L", offset: int = 7) -> SnapshotHeader:
    return SnapshotHeader(
        layout=layout, topic="t-features-changelog", partition=3, marker="u" * 32, offset=offset, epoch=2, scores=5,
        attic="a", attic_writes=1, written_at=1.5,
    )  # fmt: skip


def dump(rows: list[tuple[str, bytes, bytes]], width: int = 3) -> TableDump:
    core = np.arange(len(rows) * width, dtype=np.float64).reshape(len(rows), width) / 7
    core[:, :1] = np.nan
    return TableDump("L", [row[0] for row in rows], core, ([row[1] for row in rows], [row[2] for row in rows]))


def same(left: TableDump, right: TableDump) -> bool:
    return (
        (left.layout, left.ids, left.blobs) == (right.layout, right.ids, right.blobs)
        and left.core.shape == right.core.shape
        and left.core.tobytes() == right.core.tobytes()
    )


ROWS = st.lists(st.tuples(st.text(max_size=12), st.binary(max_size=20), st.binary(max_size=3)), max_size=12)


@settings(max_examples=40)
@given(rows=ROWS)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, bytes, bytes]]
) -> None:
    """Ids of any script, numbers bit for bit and blobs come back, with the header, in a writable matrix."""
    path = tmp_path_factory.mktemp("state") / "group" / "p3.snapshot"
    size = write_snapshot(path, header(), dump(rows))
    found, state = read_snapshot(path, "L")

    assert same(state, dump(rows))
    assert (found.offset, found.written_at, found.rows) == (7, 1.5, len(rows))
    assert size == path.stat().st_size
    assert state.core.flags.writeable
    assert state.core.flags.owndata
    assert [entry.name for entry in path.parent.iterdir()] == ["p3.snapshot"]


def test_a_change_of_any_byte_is_noticed(tmp_path: Path) -> None:
    """Each byte of the file changed by itself, and the file cut at each byte, make it unusable."""
    path = tmp_path / "p0.snapshot"
    write_snapshot(path, header(), dump([("kim", b"tiles", b""), ("lee", b"", b"x")], width=2))
    good = path.read_bytes()
    for place in range(len(good)):
        for damaged in (good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :], good[:place]):
            path.write_bytes(damaged)
            with pytest.raises(SnapshotUnusable):
                read_snapshot(path, "L")
    path.write_bytes(good + b"\0")
    with pytest.raises(SnapshotUnusable, match="behind its end"):
        read_snapshot(path, "L")


def test_another_layout_or_no_file_is_refused(tmp_path: Path) -> None:
    """A state kept for other features is not misread, and a missing file is told apart from a damaged one."""
    path = tmp_path / "p0.snapshot"
    with pytest.raises(SnapshotUnusable, match="No such file"):
        read_snapshot(path, "L")
    write_snapshot(path, header(), dump([("kim", b"a", b"b")]))
    with pytest.raises(SnapshotUnusable, match="has layout L, allowed: M"):
        read_snapshot(path, "M")


_WRITER = """
import sys
from pathlib import Path
from tests.streams.worker.test_local import dump, header, write_snapshot
state = dump([(f"c{i}", b"x" * 50, b"y") for i in range(5_000)])
offset = 0
while True:
    offset += 1
    write_snapshot(Path(sys.argv[1]), header(offset=offset), state)
    print(offset, flush=True)
"""


def test_a_killed_writer_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    """Kill -9 in the middle of writing, twice: the file is always whole, and never older than the last told."""
    path = tmp_path / "p0.snapshot"
    for _ in range(2):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True, env=environment
        ) as writer:
            assert writer.stdout is not None
            told = [int(writer.stdout.readline()) for _ in range(3)][-1]
            writer.send_signal(signal.SIGKILL)
        found, state = read_snapshot(path, "L")

        assert found.offset >= told
        assert len(state.ids) == 5_000
    remove_scratch(tmp_path, path.name)
    assert [entry.name for entry in tmp_path.iterdir()] == ["p0.snapshot"]


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    """An owner that was paused and finishes late replaces the file whole."""
    path = tmp_path / "p0.snapshot"
    many, few = dump([(f"c{i}", b"abc", b"d") for i in range(100)]), dump([("kim", b"a", b"b")])
    write_snapshot(path, header(offset=1), many)
    write_snapshot(path, header(offset=2), few)

    assert same(read_snapshot(path, "L")[1], few)
