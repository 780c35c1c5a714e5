from __future__ import annotations

import math

import pytest

from models.events.fields import identifier, number
from models.events.reasons import Refused


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a b", "a b"), (42, "42"), (-0, "0"), ("", None), (" \t", None), (None, None), ("x" * 200, "x" * 200)],
)
def test_ids_are_texts_as_written(value: str | int | None, expected: str | None) -> None:
    """An id is not trimmed or folded; an integer is its digits; blank is none."""
    assert identifier(value, "userId") == expected


@pytest.mark.parametrize(("value", "reason"), [("x" * 201, "too_long"), (10**200, "too_long"), ("a\nb", "bad_id")])
def test_unfit_ids_are_refused(value: str | int, reason: str) -> None:
    """Too long ids and ids with control characters are refused, with the field's name."""
    with pytest.raises(Refused) as refused:
        identifier(value, "userId")

    assert refused.value.reason == reason
    assert refused.value.detail.startswith("userId: ")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0.0), (5, 5.0), ("12.50", 12.5), (" .5 ", 0.5), ("1e3", 1000.0), (1e12, 1e12), ("", None)],
)
def test_numbers_may_be_quoted(value: float | str, expected: float | None) -> None:
    """Plain decimal numbers are read with or without quotes."""
    assert number(value, "revenue") == expected


@pytest.mark.parametrize(
    "value", [-1, -0.01, "-3", 1.1e12, 10**4000, "1e400", "nan", "inf", "1,200", "1_000", "٣", "$5"]
)
def test_unfit_numbers_are_refused(value: float | str) -> None:
    """Negative, infinite, absurd or unreadable amounts are refused, never guessed."""
    with pytest.raises(Refused, match="bad_number"):
        number(value, "revenue")


def test_negative_zero_is_zero() -> None:
    """JSON's -0.0 loses its sign, so that sums print as 0."""
    assert math.copysign(1, number(-0.0, "revenue") or 0.0) == 1.0
