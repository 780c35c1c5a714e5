"""Record values become rows, or a reason."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.topics import LABELS, SCORES
from streams.warehouse.decode import REASONS, BadRecord, Decoder
from streams.warehouse.intake import read_batch
from streams.warehouse.writer import Position
from tests.streams.warehouse.support import Record, encode, make_label, make_score

GOOD = msgspec.json.decode(encode(make_score()))


def changed(**fields: object) -> bytes:
    return msgspec.json.encode(GOOD | fields)


BAD = [
    (b"", "not_json"),
    (b"{", "not_json"),
    (b'"\xff"', "wrong_shape"),
    (b'{"customer_id": "\xff"}', "not_json"),
    (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not_json"),
    (b"null", "wrong_shape"),
    (b"[1, 2]", "wrong_shape"),
    (b"{}", "wrong_shape"),
    (changed(probability="0.5"), "wrong_shape"),
    (changed(probability=1.5), "wrong_shape"),
    (changed(probability=None), "wrong_shape"),
    (changed(revision=-1), "wrong_shape"),
    (changed(revision=2**63), "wrong_shape"),
    (changed(customer_id=""), "wrong_shape"),
    (changed(source_offsets={"purchases/0": 2**63}), "wrong_shape"),
    (changed(features={"a": "much"}), "wrong_shape"),
    (encode(make_score()).replace(b"90.0", b"1e999"), "wrong_shape"),
    (changed(schema_version=2), "schema_version"),
    (changed(as_of="yesterday"), "bad_time"),
    (changed(scored_at=""), "bad_time"),
    (changed(event_watermark="0001-01-01T00:00:00+23:00"), "ok"),
    (changed(features={'x" DOUBLE); DROP TABLE scores; --': 1.0}), "bad_feature"),
    (changed(features={"score_id": 1.0}), "bad_feature"),
    (changed(features={"Upper": 1.0}), "bad_feature"),
    (changed(features={f"f{i}": 1.0 for i in range(1001)}), "bad_feature"),
]


@pytest.mark.parametrize(("raw", "reason"), BAD, ids=range(len(BAD)))
def test_a_bad_score_has_its_reason(raw: bytes, reason: str) -> None:
    """Each kind of bad value is told by its code, and no value raises anything else."""
    found = "ok"
    try:
        Decoder().score(raw, 0)
    except BadRecord as error:
        found = error.reason
        assert found in REASONS

    assert found == reason


@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_but_bad_record(raw: bytes) -> None:
    """Decoding is total on bytes."""
    for decode in (lambda: Decoder().score(raw, 0), lambda: Decoder().label(raw)):
        with pytest.raises(BadRecord):
            decode()


def test_times_are_utc_microseconds() -> None:
    """Offsets are applied, and a time without one is UTC."""
    row = Decoder().score(changed(as_of="1970-01-01T01:00:00.000001+01:00", scored_at="1970-01-01T00:00:01"), 0)

    assert (row.as_of_us, row.scored_at_us) == (1, 1_000_000)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "no_value"),
        (b"{}", "wrong_shape"),
        (encode(make_label()).replace(b'"matured"', b'"maybe"'), "wrong_shape"),
        (encode(make_label(schema_version=2)), "schema_version"),
    ],
)
def test_a_bad_line_of_the_ledger_has_its_reason(raw: bytes | None, reason: str) -> None:
    """The ledger knows no deletions, no other statuses and no other versions."""
    with pytest.raises(BadRecord) as caught:
        Decoder().label(raw)

    assert caught.value.reason == reason


def test_a_batch_reaches_behind_its_bad_records() -> None:
    """A refused record does not hold up its partition, and is handed back with its origin."""
    at = {(SCORES, 1): Position(5, 2, "c"), (LABELS, 0): Position(0)}
    records = [
        ((SCORES, 1), Record(5, encode(make_score()))),
        ((SCORES, 1), Record(6, b"?")),
        ((LABELS, 0), Record(0, encode(make_label()))),
    ]

    batch, refused = read_batch(Decoder(), records, at)

    assert batch.positions == {(SCORES, 1): Position(7, 2, "c"), (LABELS, 0): Position(1)}
    assert [(one.partition, one.record.offset, one.error.reason) for one in refused] == [((SCORES, 1), 6, "not_json")]
    assert [row.generation for row in batch.scores] == [2]


def test_a_record_below_the_position_is_skipped() -> None:
    """What the file holds already is not applied again, whatever the consumer hands over."""
    batch, _ = read_batch(Decoder(), [((SCORES, 0), Record(4, encode(make_score())))], {(SCORES, 0): Position(5)})

    assert (batch.scores, batch.positions) == ([], {})


def test_a_deletion_forgets_what_came_before_it_only() -> None:
    """Rows before a deletion are dropped from the batch, rows after it stay."""
    records = [
        ((SCORES, 0), Record(0, encode(make_score("ada", 1)))),
        ((SCORES, 0), Record(1, encode(make_score("bob", 1)))),
        ((SCORES, 0), Record(2, None, b"ada")),
        ((SCORES, 0), Record(3, encode(make_score("ada", 2)))),
    ]

    batch, _ = read_batch(Decoder(), records, {(SCORES, 0): Position(0)})

    assert [row.score.score_id for row in batch.scores] == ["bob-1", "ada-2"]
    assert batch.erased == {"ada"}
