from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.events.decode import decode
from models.events.types import Event, Rejection
from models.settings import EventSettings
from models.simulator import SimulatorSettings, simulate
from streams.sources import SourceError, SourceEvent, read_file, read_files
from streams.sources.event import address
from streams.sources.files import MAX_LINE_BYTES

SHOP = SimulatorSettings(customers=30, days=20, seed=4, hostile_rate=0.0, late_rate=0.0)
NOW = 1.8e9


def track(event: str, at: float | str, **fields: Any) -> bytes:
    body = {"type": "track", "event": event, "userId": "u-1", "timestamp": at, "properties": {}} | fields
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


@pytest.mark.parametrize("suffix", [".ndjson", ".json.gz"])
def test_lines_come_back_as_they_were_sent(tmp_path: Path, suffix: str) -> None:
    """Topic, key, time and bytes of a simulated shop survive a file, packed or not, whatever it is called."""
    events = list(simulate(SHOP))
    path = tmp_path / f"shop{suffix}"
    lines = b"\n".join(event.raw for event in events)
    path.write_bytes(gzip.compress(lines) if suffix.endswith(".gz") else lines)
    read = list(read_file(path))

    assert [(event.topic, event.key, event.raw) for event in read] == [(e.topic, e.key, e.raw) for e in events]
    assert [event.time for event in read] == pytest.approx([event.time for event in events], abs=1e-3)


def test_bad_lines_are_passed_on_to_the_clickstream_with_the_time_before(tmp_path: Path) -> None:
    """What is no event keeps its place and its bytes, so that it ends in quarantine instead of nowhere."""
    bad = [
        b'{"type":"track"',
        b"\xff\xfe",
        b"[1]",
        b"null",
        b'{"userId":{}}',
        b"[" * 100_000,
        track("Order Completed", "soon"),
    ]
    path = tmp_path / "bad.ndjson"
    path.write_bytes(b"\n".join([track("Order Completed", 1.7e9), *bad]))
    first, *rest = read_file(path)

    assert first == SourceEvent("purchases", "u-1", 1.7e9, track("Order Completed", 1.7e9))
    assert [event.raw for event in rest] == bad
    assert {event.time for event in rest} == {1.7e9}
    assert [event.topic for event in rest] == ["clickstream"] * 6 + ["purchases"]
    assert all(isinstance(decode(event.raw, event.topic, NOW, EventSettings()), Rejection) for event in rest)


@pytest.mark.parametrize(
    ("raw", "topic", "key"),
    [
        (track("Order Canceled", 1.7e9), "purchases", "u-1"),
        (track("Conversation Completed", 1.7e9), "contact_center", "u-1"),
        (track("Never Heard Of", 1.7e9), "clickstream", "u-1"),
        (track("page", 1.7e9), "clickstream", "u-1"),
        (track("Order Completed", 1.7e9, type="page"), "clickstream", "u-1"),
        (track("Order Completed", 1.7e9, userId=42), "purchases", "42"),
        (track("Order Completed", 1.7e9, userId=None, anonymousId="x"), "purchases", "anonymous:x"),
        (track("Order Completed", 1.7e9, userId=" ", anonymousId="x"), "purchases", "anonymous:x"),
        (track("Order Completed", 1.7e9, userId=None), "purchases", None),
        (track("Order Completed", 1.7e9, userId="x" * 1000), "purchases", None),
    ],
)
def test_name_and_ids_decide_topic_and_key(raw: bytes, topic: str, key: str | None) -> None:
    """The catalog gives the topic, userId before anonymousId the key."""
    event = address(raw, 0.0)

    assert (event.topic, event.key) == (topic, key)
    decoded = decode(raw, topic, NOW, EventSettings())
    assert not isinstance(decoded, Event) or (decoded.customer_id, decoded.time) == (key, event.time)


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_any_bytes_have_an_address(raw: bytes) -> None:
    """Whatever the bytes are, they get a topic and keep themselves."""
    event = address(raw, 5.0)

    assert (event.topic, event.time, event.raw) == ("clickstream", 5.0, raw)


def test_white_space_line_ends_and_a_byte_order_mark_are_no_events(tmp_path: Path) -> None:
    """Empty lines, Windows line ends and a mark at the start of the file do not make events, nor spoil any."""
    raw = track("Order Completed", 1.7e9)
    path = tmp_path / "windows.ndjson"
    path.write_bytes(b"\xef\xbb\xbf" + raw + b"\r\n\r\n   \n\n" + raw + b"\n")

    assert [event.raw for event in read_file(path)] == [raw, raw]


def test_an_endless_line_is_cut_and_the_next_is_whole(tmp_path: Path) -> None:
    """Memory is bounded: of a line of 12 MiB the start is passed on, and reading goes on after it."""
    path = tmp_path / "long.ndjson"
    after = track("Order Completed", 1.7e9)
    path.write_bytes(b"x" * (3 * MAX_LINE_BYTES) + b"\n" + after)
    long, short = read_file(path)

    assert len(long.raw) == MAX_LINE_BYTES
    assert short.raw == after


def test_several_files_are_merged_by_time(tmp_path: Path) -> None:
    """Events of several files come in the order of their times."""
    events = list(simulate(SHOP))
    paths = [tmp_path / f"{topic}.ndjson" for topic in ("clickstream", "purchases", "contact_center")]
    for path in paths:
        path.write_bytes(
            b"\n".join(event.raw for event in sorted(events, key=lambda e: e.time) if event.topic == path.stem)
        )
    merged = [event.time for event in read_files(paths)]

    assert len(merged) == len(events)
    assert merged == sorted(merged)


@pytest.mark.parametrize("kind", ["binary", "string"])
def test_parquet_with_raw_events(tmp_path: Path, kind: str) -> None:
    """A column `raw` is passed on as it is, bytes or text."""
    events = [event.raw for event in simulate(SHOP)]
    values = events if kind == "binary" else [raw.decode() for raw in events]
    pq.write_table(pa.table({"raw": pa.array(values, kind)}), tmp_path / "raw.parquet", row_group_size=700)

    assert [event.raw for event in read_file(tmp_path / "raw.parquet")] == events


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_parquet_with_a_column_per_field(tmp_path: Path, unit: str) -> None:
    """Columns become the fields of an event; structs, JSON in text, decimals and timestamps of any unit are read."""
    at = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)
    products = [{"product_id": "p", "quantity": Decimal("2.0"), "note": None}]
    table = pa.table(
        {
            "type": ["track", "track", "page"],
            "event": ["Order Completed", "Order Completed", None],
            "userId": ["a", None, "c"],
            "anonymousId": [None, "b", None],
            "messageId": ["m1", "m2", "m3"],
            "timestamp": pa.array([at, at + timedelta(days=1), at + timedelta(days=2)], pa.timestamp(unit)),
            "context": ['{"locale":"en"}', "not json", None],
            "properties": [{"revenue": 9.5, "products": products}, {"revenue": 3.0, "products": []}, None],
        }
    )
    pq.write_table(table, tmp_path / "columns.pq")
    read = list(read_file(tmp_path / "columns.pq"))
    first = decode(read[0].raw, "purchases", NOW, EventSettings())

    assert [(event.topic, event.key) for event in read] == [
        ("purchases", "a"),
        ("purchases", "anonymous:b"),
        ("clickstream", "c"),
    ]
    assert [event.time - at.timestamp() for event in read] == [0.0, 86_400.0, 172_800.0]
    assert isinstance(first, Event)
    assert (first.value, first.units, first.products, first.message_id) == (9.5, 2.0, ("p",), "m1")
    assert json.loads(read[0].raw)["context"] == {"locale": "en"}
    assert "null" not in read[0].raw.decode()


def test_missing_files_are_all_named_before_anything_is_read(tmp_path: Path) -> None:
    """One error names every file that is not there."""
    (tmp_path / "here.ndjson").write_bytes(track("page", 1.0))

    with pytest.raises(SourceError, match=r"no such file: .*one\.ndjson', .*two\.ndjson'"):
        read_files([tmp_path / name for name in ("one.ndjson", "here.ndjson", "two.ndjson")])


@pytest.mark.parametrize("damage", ["gzip", "parquet"])
def test_a_damaged_file_gives_what_it_has_and_then_an_error(tmp_path: Path, damage: str) -> None:
    """A file that ends too early is an error that names it and how far reading came."""
    path = tmp_path / "damaged"
    packed = gzip.compress(b"\n".join(event.raw for event in simulate(SHOP)))
    path.write_bytes(packed[: len(packed) // 2] if damage == "gzip" else b"PAR1 and then nothing")
    read: list[SourceEvent] = []

    with pytest.raises(SourceError, match=r"cannot read '.*damaged' after \d+ events"):
        read.extend(read_file(path))
    assert bool(read) == (damage == "gzip")
