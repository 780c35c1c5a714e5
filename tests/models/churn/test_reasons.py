"""Reasons in words: every feature, both directions, what is typical, and which columns never speak."""

from __future__ import annotations

import math
import re

import msgspec
import numpy as np
import pytest

from models.churn import reasons
from models.churn.reasons import Explainer, Sentences
from models.features import FEATURES
from models.features.base import Feature

BY_NAME = {feature.name: feature for feature in FEATURES}


def told(name: str, value: float | None, typical: float | None) -> str:
    return Sentences(BY_NAME[name], typical).of(value)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_feature_has_a_good_sentence_in_both_directions(feature: Feature) -> None:
    """Declared words, short, no name of a column, no gap left open, and above, below and unknown all differ."""
    typical = 0.3 if feature.unit in ("share", "0/1", "-1..1") else 12.0
    sentences = Sentences(feature, typical)
    above, below, unknown = (sentences.of(value) for value in (typical * 3, 0.0, None))

    assert feature.says
    assert len({above, below, unknown}) == 3
    for sentence in (above, below, unknown):
        assert 8 <= len(sentence) <= 90
        assert re.fullmatch(r"[a-z0-9][a-z0-9 ,.%:()-]*", sentence), sentence
        assert feature.name not in sentence
        assert "  " not in sentence
        assert not sentence.endswith(".")
    for sentence in (above, below):
        assert re.search(r" \((typical: |true of )[^()]+\)$", sentence)


@pytest.mark.parametrize(
    ("name", "value", "typical", "sentence"),
    [
        ("days_since_order", 45.3, 12.2, "no order for 45 days (typical: 12 days)"),
        ("days_since_order", 1.2, 12.2, "last order 1 day ago (typical: 12 days)"),
        ("days_since_order", 0.1, 12.2, "last order less than a day ago (typical: 12 days)"),
        ("days_since_order", None, 12.2, "no order yet"),
        ("days_since_order", 45.3, None, "no order for 45 days"),
        ("orders_30d", 0.0, 2.31, "no orders in 30 days (typical: 2.3)"),
        ("orders_30d", 1.0, 0.04, "1 order in 30 days (typical: none)"),
        ("orders_total", 1234.0, 20.4, "1,234 orders so far (typical: 20)"),
        ("searches_30d", 1.0, 3.0, "1 search in 30 days (typical: 3)"),
        ("cancel_intent_30d", 1.0, 0.1, "1 mention of leaving in 30 days (typical: 0.1)"),
        ("active_days_7d", 3.0, 2.0, "3 active days in 7 days (typical: 2)"),
        ("spend_30d", 0.0, 73.4, "nothing spent in 30 days (typical: 73)"),
        ("spend_30d", 1234.5, 73.4, "1,234 spent in 30 days (typical: 73)"),
        ("click_rate", 0.034, 1.2, "0.034 clicks a day lately (typical: 1.2)"),
        (
            "order_silence_ratio",
            2.345,
            0.9,
            "time since the last order is 2.3 times the usual gap (typical: 0.9 times)",
        ),
        ("discount_share_90d", 0.24, 0.08, "discounts of 24 % in 90 days (typical: 8 %)"),
        ("last_sentiment", -0.7, 0.1, "mood of the last contact: very bad (typical: slightly good)"),
        ("last_unresolved", 1.0, 0.12, "the last contact ended unresolved (true of 12 % of customers)"),
        ("last_unresolved", 0.0, 0.12, "the last contact was resolved (true of 88 % of customers)"),
        ("last_unresolved", 0.0, 0.0, "the last contact was resolved (true of 100 % of customers)"),
    ],
)
def test_values_are_told_in_their_own_way(name: str, value: float | None, typical: float, sentence: str) -> None:
    """Counts with their noun, days, money, ratios, shares, moods and yes or no."""
    assert told(name, value, typical) == sentence


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e300, -1e300, 3.4e38, -0.0, 5e-324])
@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_any_number_can_be_told(feature: Feature, value: float) -> None:
    """No value and no typical value is too odd for a sentence."""
    assert Sentences(feature, 1.0).of(value)
    assert Sentences(feature, 3e38).of(1.0)


def test_a_feature_of_tomorrow_is_told_by_its_name() -> None:
    """A model with columns that this version does not know still gives reasons."""
    [(reason,)] = Explainer(["net_promoter"], (7.0,), "inactivity").reasons(np.array([[9.0]]), np.array([[0.5]]), 3)

    assert (reason.feature, reason.typical, reason.text) == ("net_promoter", 7.0, "net promoter: 9 (typical: 7)")


def test_a_column_that_echoes_the_label_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is passed over for the label kinds that it repeats, and for those alone; the sizes given are left alone."""
    echo = msgspec.structs.replace(BY_NAME["orders_7d"], echoes=("inactivity",))
    monkeypatch.setitem(reasons._BY_NAME, "orders_7d", echo)
    x, sizes = np.array([[1.0, 2.0]]), np.array([[3.0, 1.0]])
    names = {
        kind: [reason.feature for reason in Explainer(["orders_7d", "orders_30d"], (), kind).reasons(x, sizes, 5)[0]]
        for kind in ("inactivity", "cancellation")
    }

    assert names == {"inactivity": ["orders_30d"], "cancellation": ["orders_7d", "orders_30d"]}
    assert sizes.tolist() == [[3.0, 1.0]]


def test_reasons_are_stable_and_bounded() -> None:
    """Equal sizes keep the vector's order, zeros are left out, ranks count up, and no memory changes a sentence."""
    explainer = Explainer([feature.name for feature in FEATURES], (), "inactivity")
    rng = np.random.default_rng(1)
    x = rng.integers(0, 3, (3000, len(FEATURES))).astype(np.float32)
    sizes = rng.integers(-2, 3, x.shape).astype(float)
    first, again = explainer.reasons(x, sizes, 5), explainer.reasons(x, sizes, 5)

    assert first == again
    for row, size in zip(first, sizes, strict=True):
        order = sorted(np.flatnonzero(size), key=lambda at: (size[at] < 0, -abs(size[at]), at))[:5]
        assert [reason.feature for reason in row] == [FEATURES[at].name for at in order]
        assert [reason.rank for reason in row] == [1, 2, 3, 4, 5]
    for reason in first[0]:
        assert reason.text == Sentences(BY_NAME[reason.feature], None).of(reason.value)


def test_the_memory_of_sentences_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many values are told, only so many sentences are kept, and they stay right."""
    monkeypatch.setattr(reasons, "_MEMORY", 10)
    explainer = Explainer(["days_since_order"], (12.0,), "inactivity")
    x = np.arange(100.0)[:, np.newaxis]
    rows = explainer.reasons(x, np.ones_like(x), 1)

    assert len(explainer._told) <= 10
    assert rows[99][0].text == "no order for 99 days (typical: 12 days)"
