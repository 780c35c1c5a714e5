from __future__ import annotations

import math

import pytest

from app.words import amount, brief_amount, meaning, reason_line
from models.features import FEATURES
from models.records import Reason


def test_every_feature_can_be_told():
    """Each feature's reason is one readable line with its meaning and name."""
    for feature in FEATURES:
        line = reason_line(Reason(1, feature.name, 1.0, 0.25))

        assert line.startswith(f"{feature.description}: ")
        assert line.endswith(f" (raises the risk, +0.25; {feature.name})")


@pytest.mark.parametrize(
    ("feature", "value", "long", "brief"),
    [
        ("days_since_order", 41.23, "41.2 days", "41.2 days"),
        ("days_since_order", 1.0, "1 day", "1 day"),
        ("orders_total", 1234.0, "1,234 orders", "1,234"),
        ("failed_payments_30d", 1.0, "1 payment", "1"),
        ("order_silence_ratio", 2.345, "2.35", "2.35"),
        ("last_unresolved", 1.0, "yes", "yes"),
        ("last_sentiment", -0.5, "-0.5", "-0.5"),
        ("spend_30d", None, "unknown", "unknown"),
        ("spend_30d", math.nan, "unknown", "unknown"),
        ("spend_30d", math.inf, "inf", "inf"),
        ("feature_of_tomorrow", 3.0, "3", "3"),
    ],
)
def test_amounts_have_their_unit(feature, value, long, brief):
    """A value is short, with its unit where the name does not say it."""
    assert (amount(feature, value), brief_amount(feature, value)) == (long, brief)


def test_an_unknown_feature_keeps_its_name():
    """A feature of another version is shown by its name."""
    assert meaning("feature_of_tomorrow") == "feature_of_tomorrow"
    assert reason_line(Reason(1, "feature_of_tomorrow", 2.0, -0.5)) == (
        "feature_of_tomorrow: 2 (lowers the risk, -0.50; feature_of_tomorrow)"
    )
