"""The attic: evicted customers on disk, and how its damage shows."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from streams.worker.attic import Attic, AtticUnusable


def test_what_is_put_is_there_after_a_restart(tmp_path: Path) -> None:
    """States come back byte for byte, the newest wins, strangers are unknown, and the identity stays."""
    attic = Attic(tmp_path / "g" / "p0.attic")
    assert attic.take("kim") is None
    attic.put([("kim", b"old"), ("lee\u00fc", b"\x00\xff")])
    attic.put([("kim", b"new")])
    name, writes = attic.id, attic.writes
    attic.close()
    again = Attic(tmp_path / "g" / "p0.attic")

    assert (again.id, again.writes) == (name, writes) == (name, 2)
    assert [again.take(key) for key in ("kim", "lee\u00fc", "max")] == [b"new", b"\x00\xff", None]
    assert again.take("kim") == b"new"
    again.close()


def test_only_the_last_owner_may_write(tmp_path: Path) -> None:
    """A process that was paused and wakes up cannot put old states over those of its successor."""
    first = Attic(tmp_path / "p0.attic")
    second = Attic(tmp_path / "p0.attic")
    second.put([("kim", b"new")])
    with pytest.raises(AtticUnusable, match="another process"):
        first.put([("kim", b"old")])

    assert second.take("kim") == b"new"
    first.close()
    second.close()


def test_a_reset_attic_is_another_one(tmp_path: Path) -> None:
    """After a reset nobody is known and the id differs, so that snapshots that relied on the old one do not fit."""
    attic = Attic(tmp_path / "p0.attic")
    attic.put([("kim", b"old")])
    before = attic.id
    attic.reset()

    assert attic.id != before
    assert (attic.take("kim"), attic.writes) == (None, 0)
    attic.close()


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    """A file that is no database becomes an empty attic with a new id."""
    path = tmp_path / "p0.attic"
    attic = Attic(path)
    attic.put([("kim", b"x" * 5000)])
    before = attic.id
    attic.close()
    path.write_bytes(b"\xff" * path.stat().st_size)
    again = Attic(path)

    assert again.id != before
    assert again.take("kim") is None
    again.close()


def test_damage_inside_a_state_is_noticed(tmp_path: Path) -> None:
    """SQLite keeps no checksums of its own; a state that changed on disk is not believed, and the file is given up."""
    path = tmp_path / "p0.attic"
    attic = Attic(path)
    attic.put([("kim", b"a" * 50), ("lee", b"b" * 50)])
    attic.close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE customers SET state = ? WHERE id = 'kim'", (b"a" * 49 + b"c",))
    other.close()
    again = Attic(path)
    assert again.take("lee") == b"b" * 50
    with pytest.raises(AtticUnusable, match="'kim'"):
        again.take("kim")

    assert not path.exists()
    again.close()
