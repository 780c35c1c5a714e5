"""`ebbtide verify`: which log it takes, what it prints, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from app.cli import main
from streams.verify.inputs import export
from streams.verify.store import open_store
from tests.streams.verify.support import Played, a_story, records


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBBTIDE_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("EBBTIDE_BROKER", raising=False)


def left_behind(folder: Path, played: Played) -> Path:
    """The log that a demo leaves."""
    with open_store() as store:
        export(store, played.fill(store), folder)
    return folder


def wrong() -> Played:
    """A worker that served one wrong value."""
    played = Played(records(a_story()))
    score = played.scores["anna"]
    played.scores["anna"] = msgspec.structs.replace(score, features=dict(score.features) | {"clicks_7d": 77.0})
    return played


def test_without_a_broker_the_log_of_the_last_demo_is_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest exported log is taken and named; agreement is status 0."""
    left_behind(tmp_path / "demo-1" / "log", wrong())
    newest = left_behind(tmp_path / "demo-2" / "log", Played(records(a_story())))

    assert main(["verify"]) == 0
    told = capsys.readouterr().out
    assert f"no broker runs: verifying the log that a demo left in {str(newest)!r}" in told
    assert told.endswith("2 customers x 61 features recomputed in SQL: 0 mismatches\n")


def test_a_difference_is_status_1_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong value is printed with its customer, and written as JSON too."""
    left_behind(tmp_path / "demo-1" / "log", wrong())

    assert main(["verify", "--json", str(tmp_path / "found.json")]) == 1
    assert "anna: clicks_7d expected " in capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_bytes())
    assert found["wrong"] == {"served": {"clicks_7d": 1}}
    assert found["mismatches"][0]["found"] == 77.0


def test_a_sample_leaves_others_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--customers and --seed draw who is compared; the report counts them."""
    left_behind(tmp_path / "demo-1" / "log", Played(records(a_story())))

    assert main(["verify", "--customers", "1", "--seed", "3"]) == 0
    assert "verify    1 customers x" in capsys.readouterr().out
    assert main(["verify", "--customers", "all"]) == 0


def test_a_time_before_the_states_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be compared is status 2 with the reason, never a success."""
    left_behind(tmp_path / "demo-1" / "log", Played(records(a_story())))

    assert main(["verify", "--as-of", "2025-02-01"]) == 2
    assert "cannot compare states as of 2025-02-01T00:00:00.000Z" in capsys.readouterr().err


def test_without_broker_and_log_it_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With nothing to verify the user reads how to get something."""
    assert main(["verify"]) == 2
    told = capsys.readouterr().err
    assert "set EBBTIDE_BROKER or start `ebbtide up`" in told
    assert "`ebbtide demo` leaves one" in told


def test_a_damaged_log_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log that cannot be read is status 2 and names the folder."""
    folder = left_behind(tmp_path / "demo-1" / "log", Played(records(a_story())))
    (folder / "states.parquet").unlink()

    assert main(["verify"]) == 2
    assert f"cannot read the exported log in {str(folder)!r}" in capsys.readouterr().err


def test_the_result_must_be_writable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that cannot be written is an error of its own."""
    left_behind(tmp_path / "demo-1" / "log", Played(records(a_story())))

    assert main(["verify", "--json", str(tmp_path)]) == 1
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--customers", "0"], ["--wait", "-1"], ["--wait", "soon"], ["--as-of", "then"]])
def test_wrong_options_are_refused(options: list[str]) -> None:
    """Arguments that mean nothing end the command at once."""
    with pytest.raises(SystemExit) as ended:
        main(["verify", *options])

    assert ended.value.code == 2
