"""The writer: what a batch does, whatever the order, the cuts and the repetitions."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from models.records import Score
from streams.topics import LABELS, SCORES
from streams.warehouse.errors import WarehouseDamaged, WarehouseError, WarehouseInUse
from streams.warehouse.writer import Applied, Batch, Position, WarehouseWriter
from tests.streams.warehouse.support import batch_of, dump, make_label, make_score, rows_of

#: Bytes of the headers and of a block of a DuckDB file.
_HEADERS, _BLOCK = 12_288, 262_144


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "warehouse" / "live.duckdb"


@pytest.fixture
def writer(path: Path):
    writer = WarehouseWriter(path, {"order": "it's the order"})
    yield writer
    writer.close()


def history(writer: WarehouseWriter) -> list[str]:
    return [row[0] for row in rows_of(writer, "SELECT score_id FROM scores_history ORDER BY score_id")]


def newest(writer: WarehouseWriter) -> dict[str, str]:
    return dict(rows_of(writer, "SELECT customer_id, score_id FROM scores"))


def test_a_score_is_stored_whole(writer: WarehouseWriter) -> None:
    """Every field of a score is found again, reasons and offsets as lists of structs, times in UTC."""
    writer.apply(batch_of([make_score(as_of="2026-01-01T02:00:00+02:00", other_horizons={"7": 0.1})]))

    assert rows_of(writer, "SELECT * EXCLUDE (reasons, source_offsets, other_horizons) REPLACE ("
                   "as_of::VARCHAR AS as_of, "
                   "event_watermark::VARCHAR AS event_watermark, scored_at::VARCHAR AS scored_at) FROM scores") == [
        ("ada", "ada-1", 1, 0.4, "high", True, True, 90.0, 30.0, "cancellation", "logistic", "7", "f1",
         "2026-01-01 00:00:00", "2026-01-01 00:00:00.125", "2026-01-02 00:00:00", 1, 0),
    ]  # fmt: skip
    assert rows_of(writer, "SELECT reasons, map_from_entries(source_offsets)['purchases/0'], other_horizons "
                   "FROM scores_history") == [
        ([{"rank": 1, "feature": "order", "value": 0.5, "contribution": 0.8, "typical": 0.25,
           "text": "half an order"},
          {"rank": 2, "feature": "days_since_order", "value": None, "contribution": 0.1, "typical": None,
           "text": ""}], 41, {"7": 0.1}),
    ]  # fmt: skip
    assert rows_of(writer, 'SELECT score_id, orders_30d, days_since_order, "order" FROM features') == [
        ("ada-1", 2.0, None, 0.5)
    ]


def test_a_label_is_stored_whole(writer: WarehouseWriter) -> None:
    """Every field of a line of the ledger is found again."""
    writer.apply(batch_of(labels=[make_label(0)]))

    assert rows_of(
        writer,
        "SELECT * REPLACE (as_of::VARCHAR AS as_of, known_at::VARCHAR AS known_at, due_at::VARCHAR AS due_at) "
        "FROM labels",
    ) == [
        ("ada", "2026-01-01 00:00:00.5", 30.0, 0.0, "cancellation", "matured", "left", 1, 0.4, 0.3, 0.1,
         {"logistic": 0.45}, "rule", "0", "f1", "2026-01-31 00:00:00", "2026-01-31 00:00:00.5"),
    ]  # fmt: skip


def test_applying_again_changes_nothing(writer: WarehouseWriter) -> None:
    """A replayed batch leaves every table as it is."""
    batch = batch_of([make_score(revision=1), make_score(revision=2), make_score("bob")], [make_label()])
    first = writer.apply(batch)
    before = {table: rows_of(writer, f"FROM {table} ORDER BY ALL") for table in ("scores", "scores_history", "labels")}
    again = writer.apply(batch)

    assert first == Applied(scores=2, scores_history=3, labels=1)
    assert (again.scores_history, again.labels) == (0, 0)
    for table, rows in before.items():
        assert rows_of(writer, f"FROM {table} ORDER BY ALL") == rows


def test_the_newest_revision_wins_inside_a_batch(writer: WarehouseWriter) -> None:
    """The order inside a batch does not matter for the current score, and the history has all."""
    writer.apply(batch_of([make_score(revision=2), make_score(revision=3), make_score(revision=1)]))

    assert newest(writer) == {"ada": "ada-3"}
    assert history(writer) == ["ada-1", "ada-2", "ada-3"]


def test_a_late_revision_is_history_only(writer: WarehouseWriter) -> None:
    """A score that arrives after a newer one is kept, but does not become the current one."""
    writer.apply(batch_of([make_score(revision=5)]))
    writer.apply(batch_of([make_score(revision=4)]))

    assert newest(writer) == {"ada": "ada-5"}
    assert history(writer) == ["ada-4", "ada-5"]


def test_the_last_of_equal_revisions_stays(writer: WarehouseWriter) -> None:
    """Two scores of one revision are both history; the later one is what a compacted topic keeps, so it is current."""
    writer.apply(batch_of([make_score(score_id="a"), make_score(score_id="b")]))
    writer.apply(batch_of([make_score(score_id="c")]))

    assert newest(writer) == {"ada": "c"}
    assert history(writer) == ["a", "b", "c"]


def test_duplicate_rows_count_once(writer: WarehouseWriter) -> None:
    """A record that a producer sent twice is one row everywhere."""
    applied = writer.apply(batch_of([make_score()] * 3, [make_label()] * 2))

    assert applied == Applied(scores=1, scores_history=1, labels=1)
    assert rows_of(writer, "SELECT count(*) FROM features") == [(1,)]


def test_a_topic_that_began_anew_moves_scores_again(writer: WarehouseWriter) -> None:
    """Revisions of a later generation are newer, however low they are, and known score ids stay single."""
    writer.apply(batch_of([make_score(revision=1), make_score(revision=9)]))
    writer.apply(batch_of([make_score(revision=1), make_score(revision=2)], generation=1))

    assert newest(writer) == {"ada": "ada-2"}
    assert history(writer) == ["ada-1", "ada-2", "ada-9"]


def test_a_new_feature_gets_a_column_and_a_vanished_one_stays_null(writer: WarehouseWriter) -> None:
    """Vectors of different feature versions live in one table."""
    writer.apply(batch_of([make_score(revision=1, features={"a": 1.0, "b": 2.0})]))
    writer.apply(
        batch_of([make_score(revision=2, features={"c": 3.0, "b": None}), make_score(revision=3, features={})])
    )

    assert rows_of(writer, "SELECT score_id, a, b, c FROM features ORDER BY score_id") == [
        ("ada-1", 1.0, 2.0, None), ("ada-2", None, None, 3.0), ("ada-3", None, None, None),
    ]  # fmt: skip
    assert writer.features == ["a", "b", "c"]


def test_columns_carry_their_meaning(writer: WarehouseWriter) -> None:
    """Every table, the view and every column has a comment, features the description from the registry."""
    writer.apply(batch_of([make_score()]))

    assert rows_of(writer, "SELECT table_name FROM duckdb_tables() WHERE comment IS NULL") == []
    assert rows_of(writer, "SELECT view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL") == []
    assert rows_of(
        writer,
        "SELECT table_name, column_name FROM duckdb_columns() WHERE comment IS NULL AND NOT internal "
        "AND table_name NOT IN ('features', 'likely_to_churn', 'expected_and_realised')",
    ) == []  # fmt: skip
    assert rows_of(writer, "SELECT comment FROM duckdb_columns() WHERE column_name = 'order'") == [("it's the order",)]


def test_an_erasure_leaves_nothing_of_the_customer(writer: WarehouseWriter) -> None:
    """A deletion on the topic takes the customer out of every table, and nobody else."""
    writer.apply(batch_of([make_score("ada"), make_score("bob")], [make_label(), make_label(2, customer_id="bob")]))
    writer.apply(Batch(erased={"ada"}))

    for table in ("scores", "scores_history", "features", "labels"):
        assert rows_of(writer, f"SELECT customer_id FROM {table}") == [("bob",)]


def test_the_view_shows_who_to_act_on(writer: WarehouseWriter) -> None:
    """likely_to_churn has the likely customers only, most likely first."""
    writer.apply(
        batch_of(
            [
                make_score("low", likelihood_to_churn=False),
                make_score("mid", probability=0.5),
                make_score("top", probability=0.9),
            ]
        )
    )

    assert rows_of(writer, "SELECT customer_id FROM likely_to_churn") == [("top",), ("mid",)]


def test_odd_text_is_stored_as_it_is(writer: WarehouseWriter) -> None:
    """Quotes, null characters and emoji in ids are data."""
    odd = "o'\"\\;\x00 \U0001f40d\n--"
    writer.apply(batch_of([make_score(odd, band=odd, source_offsets={odd: 1})]))

    assert rows_of(writer, "SELECT customer_id, band, source_offsets[1].source FROM scores") == [(odd, odd, odd)]


def test_positions_and_rows_are_one_transaction(writer: WarehouseWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last statement of a batch fails, nothing of the batch is there, and the next one works."""
    batch = batch_of([make_score(features={"fresh": 1.0})])
    with monkeypatch.context() as patch:
        patch.setattr("streams.warehouse.writer._INSERT_POSITIONS", "SELECT no_such_function(?, ?, ?, ?, ?)")
        with pytest.raises(WarehouseError, match="cannot write to"):
            writer.apply(batch)

    assert (history(writer), newest(writer), writer.positions(), writer.features) == ([], {}, {}, [])
    writer.apply(batch)
    assert (history(writer), writer.features) == (["ada-1"], ["fresh"])


def test_positions_survive(path: Path) -> None:
    """A new writer on the file knows how far each partition is."""
    first = WarehouseWriter(path)
    first.move({(SCORES, 0): Position(3, 1, "old"), (SCORES, 1): Position(4)})
    first.move({(SCORES, 0): Position(7, 1, "c"), (LABELS, 0): Position(2)})
    first.close()
    second = WarehouseWriter(path)
    found = second.positions()
    second.close()

    assert found == {(SCORES, 0): Position(7, 1, "c"), (SCORES, 1): Position(4), (LABELS, 0): Position(2)}


def test_a_second_writer_is_refused(writer: WarehouseWriter, path: Path) -> None:
    """The error names the process that writes, and what to do."""
    code = (
        "import sys; from pathlib import Path; from streams.warehouse.writer import WarehouseWriter as W; "
        "W(Path(sys.argv[1]))"
    )
    other = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)

    with pytest.raises(WarehouseInUse, match=r"process \d+ on .* writes there already; stop that process"):
        WarehouseWriter(path)
    assert other.returncode == 1
    assert "WarehouseInUse" in other.stderr


def test_the_lock_of_a_dead_writer_does_not_hold(path: Path) -> None:
    """A writer that ended without closing leaves the way free."""
    code = (
        "import os, sys; from pathlib import Path; from streams.warehouse.writer import WarehouseWriter as W; "
        "w = W(Path(sys.argv[1])); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    writer = WarehouseWriter(path)

    assert writer.positions() == {}
    writer.close()


def test_a_foreign_process_in_the_live_file_is_named(path: Path) -> None:
    """Somebody who opened the live file with plain DuckDB is told of, and pointed to the snapshots."""
    WarehouseWriter(path).close()
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(WarehouseInUse, match=r"PID \d+.*readers open the files in .*snapshots"):
            WarehouseWriter(path)


@pytest.mark.parametrize("damage", ["garbage", "cut", "zeros"])
def test_a_damaged_file_says_how_to_go_on(path: Path, damage: str) -> None:
    """The error names the file and both ways out, and leaves the lock free."""
    first = WarehouseWriter(path)
    first.apply(batch_of([make_score()]))
    first.close()
    whole = path.read_bytes()
    path.write_bytes({"garbage": b"not a database" * 999, "cut": whole[:20_000], "zeros": bytes(len(whole))}[damage])

    for _ in range(2):
        with pytest.raises(WarehouseDamaged, match=r"live\.duckdb.*delete it and 'live\.duckdb\.wal'.*snapshots"):
            WarehouseWriter(path)


def test_damage_is_told_wherever_it_is_met(path: Path) -> None:
    """A damaged block is met when the file is opened or when rows are read, and the error says how to go on."""
    first = WarehouseWriter(path)
    first.apply(batch_of([make_score(f"c{i}") for i in range(3000)]))
    first.close()
    sound, told = path.read_bytes(), {"opening": "", "reading": ""}
    for start in range(_HEADERS, len(sound), _BLOCK):
        path.write_bytes(sound[: start + 1000] + bytes(_BLOCK - 2000) + sound[start + _BLOCK - 1000 :])
        try:
            writer = WarehouseWriter(path)
        except WarehouseDamaged as error:
            told["opening"] = str(error)
            continue
        try:
            writer.apply(batch_of([make_score("c1", 2)]))
        except WarehouseError as error:
            told["reading"] = str(error)
        finally:
            writer.close()

    for text in told.values():
        assert re.search(r"(?s)live\.duckdb': .*checksum.*delete it and 'live\.duckdb\.wal'", text)


def test_a_file_of_another_version_is_refused(path: Path) -> None:
    """Tables with other columns are not written into."""
    path.parent.mkdir()
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE scores (customer_id VARCHAR)")

    with pytest.raises(WarehouseDamaged, match="table scores has columns customer_id; needed: customer_id, score_id"):
        WarehouseWriter(path)


class SlowTruth:
    """The meaning of a stream of scores, one record at a time."""

    def __init__(self) -> None:
        self.history: dict[str, Score] = {}
        self.current: dict[str, tuple[int, Score]] = {}

    def take(self, score: Score, generation: int) -> None:
        self.history.setdefault(score.score_id, score)
        held = self.current.get(score.customer_id)
        if held is None or (generation, score.revision) >= (held[0], held[1].revision):
            self.current[score.customer_id] = (generation, score)


_STREAMS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 6), st.sampled_from(["", "x"]), st.integers(0, 99)), max_size=40
)


@example(stream=[("a", 1, "", 0), ("a", 2, "", 0), ("a", 1, "", 0), ("a", 2, "", 0)], cuts=[2, 3], anew_at=1)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stream=_STREAMS, cuts=st.lists(st.integers(0, 40), max_size=6), anew_at=st.integers(0, 40))
def test_any_cut_equals_one_record_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, stream: list[tuple[str, int, str, int]], cuts: list[int], anew_at: int
) -> None:
    """Whatever the order, repetition, batch borders and a new beginning: the tables are the slow truth's."""
    writer = WarehouseWriter(tmp_path_factory.mktemp("w") / "live.duckdb")
    truth = SlowTruth()
    scores = [make_score(c, r, score_id=f"{c}{r}{v}", percentile=float(p)) for c, r, v, p in stream]
    for start, end in pairwise(sorted({0, len(scores), *(min(cut, len(scores)) for cut in cuts)})):
        generation = int(start >= anew_at)
        writer.apply(batch_of(scores[start:end], generation=generation))
        for score in scores[start:end]:
            truth.take(score, generation)
    kept = rows_of(writer, "SELECT score_id, percentile FROM scores_history")
    current = rows_of(writer, "SELECT customer_id, generation, score_id, percentile FROM scores")
    vectors = rows_of(writer, "SELECT score_id FROM features")
    writer.close()

    assert sorted(kept) == sorted((s.score_id, s.percentile) for s in truth.history.values())
    assert sorted(current) == sorted((s.customer_id, g, s.score_id, s.percentile) for g, s in truth.current.values())
    assert sorted(one for (one,) in vectors) == sorted(truth.history)


def test_the_file_can_be_read_by_others_once_closed(path: Path) -> None:
    """What was applied is in the file, with the positions, after a plain close."""
    writer = WarehouseWriter(path)
    writer.apply(batch_of([make_score(), make_score("bob")]))
    writer.close()
    tables = dump(path)

    assert [len(tables[name]) for name in ("scores", "scores_history", "features", "consumed")] == [2, 2, 2, 1]
