from __future__ import annotations

import gzip
import json
import math
import signal

import duckdb
import pyarrow.parquet as pq
import pytest

from app.backtest.job import Plan, run_backtest
from app.backtest.predictions import SCHEMA
from app.cli import main
from models.features import FEATURE_NAMES
from models.settings import LabelSettings, Settings

DAY = 86_400.0
SHOP = "simulator:customers=40,days=60,seed=2"
LABEL = ["--label", "cancellation:14d"]


def rows(path):
    return duckdb.sql(f"SELECT * FROM '{path}' ORDER BY as_of, customer_id").fetchall()


def line(customer, day, name="Order Completed"):
    body = {
        "type": "track", "event": name, "userId": customer, "messageId": f"{customer} {day} {name}",
        "timestamp": 1_735_689_600.0 + day * DAY, "properties": {"total": 5},
    }  # fmt: skip
    return json.dumps(body).encode() + b"\n"


def test_every_prediction_is_written_with_its_label(tmp_path, capsys):
    """The file has the public columns, one row per customer and day, and the label wherever the horizon has passed."""
    path = tmp_path / "out.parquet"

    assert main(["backtest", SHOP, *LABEL, "--predictions", str(path)]) == 0

    assert pq.read_schema(path).equals(SCHEMA)
    count, days, customers, twice, early, late = duckdb.sql(
        "WITH all_rows AS (SELECT *, as_of > (SELECT max(as_of) FROM one) - INTERVAL 15 DAY AS open FROM one) "
        "SELECT count(*), count(DISTINCT as_of), count(DISTINCT customer_id), "
        "count(*) - count(DISTINCT (customer_id, as_of)), "
        "count(*) FILTER (NOT open AND label IS NULL), count(label) FILTER (open) FROM all_rows".replace(
            "one", f"'{path}'"
        )
    ).fetchall()[0]
    assert (days, customers, twice, early, late) == (60, 39, 0, 0, 0)  # one of the 40 joins on the last day
    assert f"{count:,} predictions" in capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == ["out.parquet"]


def test_the_same_events_give_the_same_file(tmp_path):
    """A backtest is deterministic."""
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]

    for path in paths:
        assert main(["backtest", SHOP, *LABEL, "--predictions", str(path)]) == 0

    assert rows(paths[0]) == rows(paths[1])


def test_several_horizons_come_from_one_pass(tmp_path):
    """Every horizon has a row per customer and day, and a longer one is never told a smaller probability."""
    path = tmp_path / "out.parquet"

    assert main(["backtest", SHOP, *LABEL, "--horizons", "7d,28d", "--predictions", str(path)]) == 0

    found = duckdb.sql(
        f"SELECT list(horizon_days ORDER BY horizon_days), list(probability ORDER BY horizon_days) FROM '{path}' "
        "GROUP BY customer_id, as_of"
    ).fetchall()
    assert all(horizons == [7.0, 14.0, 28.0] and said == sorted(said) for horizons, said in found)


def test_the_vectors_behind_the_predictions_can_be_had(tmp_path):
    """One row per customer and time, whatever the horizons, with every feature by name; null where it is not known."""
    said, met = tmp_path / "said.parquet", tmp_path / "met.parquet"
    asked = ["--horizons", "7d", "--predictions", str(said), "--features", str(met)]

    assert main(["backtest", SHOP, *LABEL, *asked]) == 0

    assert pq.read_schema(met).names == ["customer_id", "as_of", *FEATURE_NAMES]
    keys = "SELECT customer_id, as_of FROM '{}'"
    other = f"({keys.format(met)}) EXCEPT ALL ({keys.format(said)} WHERE horizon_days = 14)"
    rows, known, unknown, strange = duckdb.sql(
        f"SELECT count(*), count(tenure_days), count(*) FILTER (last_sentiment IS NULL), "
        f"count(*) FILTER (isnan(last_sentiment)), FROM '{met}'"
    ).fetchall()[0]
    assert duckdb.sql(other).fetchall() == []
    assert rows == known == duckdb.sql(f"SELECT count(*) FROM '{said}' WHERE horizon_days = 14").fetchall()[0][0]
    assert (unknown > 0, strange) == (True, 0)


def test_predictions_before_the_beginning_are_not_kept(tmp_path):
    """What lies before --from is learned from, not predicted; what lies from --to on is not read."""
    whole, part = tmp_path / "whole.parquet", tmp_path / "part.parquet"
    span = ["--from", "2025-02-01", "--to", "2025-02-15"]

    assert main(["backtest", SHOP, *LABEL, "--predictions", str(whole)]) == 0
    assert main(["backtest", SHOP, *LABEL, *span, "--predictions", str(part)]) == 0

    said = (
        "SELECT customer_id, as_of, probability FROM '{}' "
        "WHERE as_of BETWEEN '2025-02-01 00:00:00+00'::TIMESTAMPTZ "
        "AND '2025-02-15 00:00:00+00'::TIMESTAMPTZ ORDER BY ALL"
    )
    assert duckdb.sql(said.format(part)).fetchall() == duckdb.sql(said.format(whole)).fetchall()
    assert duckdb.sql(f"SELECT count(*), count(label) FROM '{part}'").fetchall()[0][1] > 0


def test_hostile_lines_are_counted_by_reason(tmp_path, capsys):
    """Lines that are no events change nothing but the count of what was refused."""
    clean, hostile = tmp_path / "clean.ndjson", tmp_path / "hostile.ndjson"
    good = [line("a", 0.5), line("b", 1.5), line("a", 12.5)]
    clean.write_bytes(b"".join(good))
    hostile.write_bytes(good[0] + b'{"type":\n[1]\n\xff\xfe\n{"type":"track"}\n' + good[1] + b"{}\n" + good[2])

    for source in (clean, hostile):
        assert main(["backtest", str(source), "--label", "inactivity:5d", "--predictions", f"{source}.parquet"]) == 0

    assert rows(f"{clean}.parquet") == rows(f"{hostile}.parquet")
    assert "refused: malformed_json 1, missing_event 1, not_an_object 1, not_utf8 1, unknown_type 1" in (
        capsys.readouterr().out
    )


def test_a_damaged_file_keeps_what_was_read(tmp_path, capsys):
    """A file that breaks off gives the predictions up to there, the place, and an exit status of 1."""
    source, path = tmp_path / "events.ndjson.gz", tmp_path / "out.parquet"
    whole = gzip.compress(b"".join(line(f"c{n % 7}", n / 10) for n in range(3_000)))
    source.write_bytes(whole[: len(whole) // 2])

    assert main(["backtest", str(source), "--label", "inactivity:5d", "--predictions", str(path)]) == 1

    assert "cannot read" in capsys.readouterr().err
    assert len(rows(path)) > 100


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["none.ndjson"], 1, "no such file: 'none.ndjson'"),
        ([SHOP, "--from", "2025-03-01", "--to", "2025-02-01"], 2, "--from is not before --to"),
        ([SHOP, "--predictions", "/no/such/folder/x"], 1, "cannot write '/no/such/folder/x'"),
        ([SHOP, "--json", "/dev/null"], 1, "cannot write '/dev/null': it is no ordinary file"),
    ],
)
def test_what_cannot_be_done_is_one_line(argv, code, said, capsys):
    """Wrong input is refused in one line with the status that goes with it."""
    assert main(["backtest", *argv]) == code

    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", ["leaving:30d", "inactivity:0d", "inactivity:30", "inactivity:x"])
def test_a_label_is_a_kind_and_a_length(text, capsys):
    """A label that is none is refused before anything runs."""
    with pytest.raises(SystemExit) as ended:
        main(["backtest", SHOP, "--label", text])

    assert ended.value.code == 2
    assert "allowed" in capsys.readouterr().err


def test_an_empty_file_is_no_backtest(tmp_path, capsys):
    """Without an event there is nothing to tell."""
    path = tmp_path / "empty.ndjson"
    path.write_bytes(b"\n\n")

    assert main(["backtest", str(path), "--predictions", str(tmp_path / "out.parquet")]) == 1

    assert "no events in" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["empty.ndjson"]


def test_ctrl_c_keeps_what_is_done(tmp_path, monkeypatch):
    """The first signal ends the run in good order: what was predicted is in the file, as an undisturbed run has it."""
    whole, part = tmp_path / "whole.parquet", tmp_path / "part.parquet"
    settings = Settings(label=LabelSettings(kind="cancellation", horizon_days=14.0))
    plan = Plan(sources=(SHOP,), predictions=str(whole))
    run_backtest(plan, settings, 2e9)
    told = []

    def interrupt(_report, _share, _backtest):
        told.append(1)
        if len(told) == 30:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("app.backtest.job._tell", interrupt)
    done = run_backtest(Plan(sources=(SHOP,), predictions=str(part)), settings, 2e9)

    assert (done.stopped, len(told)) == (True, 30)
    end = max(row[1] for row in rows(part))
    expected = [row[:4] for row in rows(whole) if row[1] <= end]
    assert [row[:4] for row in rows(part)] == expected
    assert math.isfinite(done.backtest.known_until)
