from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from streams.sync import ledger as ledger_module
from streams.sync.ledger import Accepted, Attempt, Delivery, Ledger, LedgerUnusable

ADA = Accepted("ada", "h1", True, "high", "s1", 3, "2026-03-01T10:00:00Z", 5.0)


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    """What was noted before the file was closed is there when it is opened again."""
    path = tmp_path / "sync" / "webhook.sqlite"
    open_attempt = Attempt("bob", "s2", 7.0, 4, True, False)
    with Ledger(path, "here") as ledger:
        ledger.note_accepted(ADA)
        ledger.note_attempt(open_attempt)
        ledger.save_positions({("scores", 0): 12, ("scores", 3): 5})
    with Ledger(path, "here") as again:
        assert again.accepted("ada") == ADA
        assert again.attempt("bob") == open_attempt
        assert [again.position("scores", partition) for partition in (0, 1, 3)] == [12, None, 5]
        assert (again.accepted("bob"), again.attempt("ada")) == (None, None)


def test_unclosed_file_keeps_what_was_written(tmp_path: Path) -> None:
    """A second opener of a ledger that was never closed, as after a kill, sees every completed step."""
    path = tmp_path / "webhook.sqlite"
    with Ledger(path, "here") as killed:
        killed.note_accepted(ADA)
        with Ledger(path, "here") as again:
            assert again.accepted("ada") == ADA


@pytest.mark.parametrize("maybe_likely", [True, False, None])
def test_what_may_have_been_told_keeps_its_three_values(tmp_path: Path, maybe_likely: bool | None) -> None:
    """Told likely, told unlikely and told nothing are kept apart."""
    with Ledger(tmp_path / "l.sqlite", "here") as ledger:
        ledger.note_attempt(Attempt("ada", "s1", 1.0, 1, maybe_likely, True))

        assert ledger.attempt("ada") == Attempt("ada", "s1", 1.0, 1, maybe_likely, True)


def test_acceptance_ends_open_attempts(tmp_path: Path) -> None:
    """Once the destination has answered, nothing about the customer is uncertain."""
    with Ledger(tmp_path / "l.sqlite", "here") as ledger:
        ledger.note_attempt(Attempt("ada", "s1", 1.0, 1, True, False))
        ledger.note_accepted(ADA)

        assert ledger.attempt("ada") is None


def test_new_endpoint_starts_from_nothing(tmp_path: Path) -> None:
    """Another endpoint has accepted nothing and has read nothing, but the log of deliveries stays."""
    path = tmp_path / "l.sqlite"
    line = Delivery("ada", "s1", "delivered", 204, 1, 3.5, 9.0)
    with Ledger(path, "here") as ledger:
        ledger.note_accepted(ADA)
        ledger.save_positions({("scores", 0): 12})
        ledger.log(line)
    with Ledger(path, "there") as moved:
        assert (moved.accepted("ada"), moved.position("scores", 0)) == (None, None)
        assert moved.deliveries() == [line]


def test_log_keeps_its_newest_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is pruned to its newest lines, and can be asked for one customer."""
    monkeypatch.setattr(ledger_module, "KEEP_DELIVERIES", 50)
    monkeypatch.setattr(ledger_module, "_PRUNE_EVERY", 10)
    with Ledger(tmp_path / "l.sqlite", "here") as ledger:
        for number in range(200):
            ledger.log(Delivery(f"c{number % 4}", f"s{number}", "delivered", 200, 1, 1.0, float(number)))

        assert [line.score_id for line in ledger.deliveries(limit=1000)] == [f"s{n}" for n in range(199, 149, -1)]
        assert [line.score_id for line in ledger.deliveries("c3", limit=2)] == ["s199", "s195"]


def test_erased_customers_leave_no_trace(tmp_path: Path) -> None:
    """Forgetting a customer removes them from every table and touches nobody else."""
    path = tmp_path / "l.sqlite"
    with Ledger(path, "here") as ledger:
        for name in ("ada", "bob"):
            ledger.note_accepted(Accepted(name, "h1", True, "high", "s1", 3, "t", 5.0))
            ledger.note_attempt(Attempt(name, "s2", 7.0, 4, True, False))
            ledger.log(Delivery(name, "s1", "delivered", 204, 1, 3.5, 9.0))
        ledger.forget("ada")

        assert (ledger.accepted("ada"), ledger.attempt("ada"), ledger.deliveries("ada")) == (None, None, [])
        assert ledger.accepted("bob") is not None
        assert len(ledger.deliveries()) == 1


def test_unusable_file_is_named(tmp_path: Path) -> None:
    """A file that is no database stops the role with a message that names it."""
    path = tmp_path / "l.sqlite"
    path.write_bytes(b"this is no database, whatever its name says" * 100)

    with pytest.raises(LedgerUnusable, match=r"cannot open the ledger .*l\.sqlite"):
        Ledger(path, "here")


def test_half_a_step_is_no_step(tmp_path: Path) -> None:
    """If a step fails in the middle, none of it is kept and the ledger stays usable."""
    with Ledger(tmp_path / "l.sqlite", "here") as ledger:
        with pytest.raises(sqlite3.Error):
            ledger.save_positions({("scores", 0): 1, ("scores", 1): None})  # type: ignore[dict-item] # to fail on purpose

        assert ledger.position("scores", 0) is None

        ledger.save_positions({("scores", 0): 1})

        assert ledger.position("scores", 0) == 1
