"""The table of labels: the last line of the ledger stays, whatever the cuts and the repetitions."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.records import LabelRecord
from streams.warehouse.writer import Applied, WarehouseWriter
from tests.streams.warehouse.support import batch_of, make_label, make_pending, rows_of

LATER = 1_769_900_000.0


@pytest.fixture
def writer(tmp_path: Path):
    writer = WarehouseWriter(tmp_path / "live.duckdb")
    yield writer
    writer.close()


def held(writer: WarehouseWriter) -> list[tuple[Any, ...]]:
    return rows_of(writer, "SELECT status, outcome, label, epoch(known_at) FROM labels ORDER BY ALL")


def test_a_prediction_is_one_row_from_pending_to_revised(writer: WarehouseWriter) -> None:
    """Each line takes the place of the one before, in one batch or in several."""
    lines = [
        make_pending(),
        make_label(label=0, outcome="stayed"),
        make_label(status="revised", outcome="left", label=1, known_at=LATER),
    ]
    found = []
    for line in lines:
        writer.apply(batch_of(labels=[line]))
        found += held(writer)

    assert found == [
        ("pending", "unknown", None, 1_767_225_601.5),
        ("matured", "stayed", 0, 1_769_817_600.0),
        ("revised", "left", 1, LATER),
    ]


def test_horizons_and_predictions_have_rows_of_their_own(writer: WarehouseWriter) -> None:
    """Customer, time of prediction and horizon make a row."""
    lines = [make_pending(1), make_pending(2), make_pending(1, horizon_days=7.0), make_pending(1, customer_id="bob")]

    assert writer.apply(batch_of(labels=lines)) == Applied(labels=4)


def test_an_older_line_that_comes_late_changes_nothing(writer: WarehouseWriter) -> None:
    """What was known later stays; of lines known at one time, the one that tells more."""
    revised = make_label(status="revised", outcome="reactivated", known_at=LATER)
    writer.apply(batch_of(labels=[revised]))
    applied = writer.apply(batch_of(labels=[make_label(), make_pending(), make_label(known_at=LATER)]))

    assert applied == Applied(labels=0)
    assert held(writer) == [("revised", "reactivated", 1, LATER)]


def test_a_line_told_again_changes_nothing(writer: WarehouseWriter) -> None:
    """A worker that was killed tells again what it told, by a later clock: the first time stays."""
    writer.apply(batch_of(labels=[make_pending(), make_label()]))
    again = writer.apply(batch_of(labels=[make_pending(), make_label(known_at=LATER)]))

    assert again == Applied(labels=0)
    assert held(writer) == [("matured", "left", 1, 1_769_817_600.0)]


def test_a_void_prediction_has_no_label(writer: WarehouseWriter) -> None:
    """Who left in the gap is neither 0 nor 1."""
    writer.apply(batch_of(labels=[make_pending(), make_label(status="void", outcome="left_in_gap", label=None)]))

    assert held(writer) == [("void", "left_in_gap", None, 1_769_817_600.0)]


LINES = st.lists(
    st.builds(
        lambda number, known, line: make_label(number, known_at=LATER + known, **line),
        st.integers(0, 2),
        st.integers(0, 3),
        st.sampled_from(
            [
                {"status": "pending", "outcome": "unknown", "label": None},
                {"status": "matured", "outcome": "stayed", "label": 0},
                {"status": "matured", "outcome": "left", "label": 1},
                {"status": "void", "outcome": "left_in_gap", "label": None},
                {"status": "revised", "outcome": "left", "label": 1},
            ]
        ),
    ),
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, cuts=st.lists(st.integers(0, 12), max_size=3))
def test_the_cuts_into_batches_do_not_matter(
    writer: WarehouseWriter, lines: list[LabelRecord], cuts: list[int]
) -> None:
    """One batch or many give the same rows, one per prediction."""
    bounds = sorted({0, len(lines), *(cut for cut in cuts if cut < len(lines))})
    found = []
    for pieces in ([lines], [lines[a:b] for a, b in pairwise(bounds)]):
        rows_of(writer, "DELETE FROM labels")
        for piece in pieces:
            writer.apply(batch_of(labels=piece))
        found.append(rows_of(writer, "SELECT epoch(as_of), status, outcome, label, known_at FROM labels ORDER BY ALL"))

    assert found[0] == found[1]
    assert len(found[0]) == len({line.as_of for line in lines})
