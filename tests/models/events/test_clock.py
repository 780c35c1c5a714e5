from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.events.clock import earliest_time, event_time, parse_time, to_iso
from models.events.reasons import Refused

TEN = 1736071200.0  # 2025-01-05 10:00 UTC


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025-01-05T10:00:00Z", TEN),
        ("2025-01-05T10:00:00.250Z", TEN + 0.25),
        ("2025-01-05T10:00:00.123456789Z", TEN + 0.123456),
        ("2025-01-05T12:00:00+02:00", TEN),
        ("2025-01-05T04:30:00-0530", TEN),
        ("2025-01-05 10:00:00", TEN),
        ("20250105T100000Z", TEN),
        ("2025-01-05", TEN - 36_000),
        (1736071200, TEN),
        (1736071200.5, TEN + 0.5),
        (1736071200500, TEN + 0.5),
        (-1, -1.0),
    ],
)
def test_times_of_all_accepted_forms(value: str | float, expected: float) -> None:
    """ISO-8601 with or without a zone, seconds and milliseconds since the epoch give epoch seconds."""
    assert parse_time(value, "timestamp") == expected


@pytest.mark.parametrize("value", ["", "now", "1736071200", "2025-13-01", "2025-01-05T25:00Z", "٢٠٢٥-٠١-٠٥", 10**400])
def test_everything_else_is_a_bad_time(value: str | int) -> None:
    """What is no time is refused with the field's name."""
    with pytest.raises(Refused) as refused:
        parse_time(value, "sentAt")

    assert refused.value.reason == "bad_time"
    assert refused.value.detail.startswith("sentAt: ")


@given(client_wrong_by_s=st.floats(-1e9, 1e9), age_s=st.floats(0, 86_400))
def test_skew_of_the_client_clock_cancels_out(client_wrong_by_s: float, age_s: float) -> None:
    """However wrong the client's clock is, the event is as old at arrival as it was when it was sent."""
    sent = TEN + client_wrong_by_s

    assert event_time(None, sent - age_s, sent, TEN) == pytest.approx(TEN - age_s, abs=1e-5)


def test_timestamp_wins_and_single_times_stand_in() -> None:
    """`timestamp` is taken before all others; without the three for a correction, the first one given counts."""
    assert event_time(TEN, 1, 2, 3) == TEN
    assert event_time(None, 1.0, 2.0, None) == 1.0
    assert event_time(None, None, 2.0, 3.0) == 2.0
    assert event_time(None, None, None, 3.0) == 3.0
    with pytest.raises(Refused, match="missing_time"):
        event_time(None, None, None, None)


def test_bad_timestamp_is_not_replaced_by_another_time() -> None:
    """A producer that sends a broken `timestamp` hears of it."""
    with pytest.raises(Refused, match="bad_time"):
        event_time("broken", TEN, TEN, TEN)


@given(st.integers(0, 253_402_300_799_999))
def test_iso_round_trip(milliseconds: int) -> None:
    """A time written by `to_iso` reads back to the same millisecond, as near as a float can tell it in far years."""
    text = to_iso(milliseconds / 1000)

    assert text.endswith("Z")
    assert parse_time(text, "x") * 1000 == pytest.approx(milliseconds, abs=2.1)


def test_earliest_setting_must_parse() -> None:
    """A setting that is no time is an error of the operator, not a rejection."""
    assert earliest_time("1990-01-01T00:00:00Z") == 631152000.0
    with pytest.raises(ValueError, match="earliest"):
        earliest_time("long ago")
