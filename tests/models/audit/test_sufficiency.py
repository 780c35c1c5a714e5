"""The verdict on the amount of data."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.audit import Facts, Verdict, verdict
from models.settings import SufficiencySettings

NEEDED = SufficiencySettings()
PLENTY = Facts(labels=5000, positives=900, history_days=200.0, horizon_days=30.0, event_types=12)
FACTS = st.builds(
    lambda positives, negatives, days, horizon, types: Facts(
        labels=positives + negatives, positives=positives, history_days=days, horizon_days=horizon, event_types=types
    ),
    st.integers(0, 500),
    st.integers(0, 500),
    st.floats(0, 300),
    st.floats(1, 90),
    st.integers(0, 9),
)


def judged(**changes: float) -> Verdict:
    return verdict(msgspec.structs.replace(PLENTY, **changes), NEEDED)


def test_plenty_is_enough() -> None:
    """All six criteria are met."""
    found = judged()

    assert (found.level, [c.met for c in found.criteria]) == ("ok", [True] * 6)
    assert found.sentence == "There is enough data for a learned model."


@pytest.mark.parametrize(
    ("changes", "level", "missing"),
    [
        ({"labels": 499, "positives": 150}, "limited", ["labels"]),
        ({"labels": 149, "positives": 45}, "not enough", ["labels", "positives"]),
        ({"positives": 99, "labels": 1000}, "limited", ["positives"]),
        ({"positives": 29, "labels": 500}, "not enough", ["positives"]),
        ({"positives": 4910}, "limited", ["negatives", "label_rate"]),
        ({"positives": 4980}, "not enough", ["negatives", "label_rate"]),
        ({"positives": 249}, "limited", ["label_rate"]),
        ({"history_days": 89.0}, "limited", ["history_days"]),
        ({"history_days": 30.0}, "not enough", ["history_days"]),
        ({"horizon_days": 90.0}, "limited", ["history_days"]),
        ({"event_types": 4}, "limited", ["event_types"]),
    ],
)
def test_each_criterion_is_judged_by_itself(changes: dict[str, float], level: str, missing: list[str]) -> None:
    """At the edges: the level, and which criteria are not met; the sentence names them."""
    found = judged(**changes)
    failed = [criterion for criterion in found.criteria if not criterion.met]

    assert (found.level, [criterion.name for criterion in failed]) == (level, missing)
    assert all(criterion.sentence in found.sentence for criterion in failed)


def test_before_the_first_label_the_rule_is_used() -> None:
    """The rate is not known, nothing can be learned, and the sentence says what happens instead."""
    found = judged(labels=0, positives=0)
    rate = next(criterion for criterion in found.criteria if criterion.name == "label_rate")

    assert (found.level, rate.value, rate.met) == ("not enough", None, False)
    assert "so the rule is used: 0 predictions have a known outcome (500 needed)" in found.sentence


@given(FACTS)
def test_a_verdict_is_as_bad_as_its_worst_criterion(facts: Facts) -> None:
    """And ok only if all are met."""
    found = verdict(facts, NEEDED)
    order = ["ok", "limited", "not enough"]

    assert found.level == order[max(order.index(criterion.level) for criterion in found.criteria)]
    assert (found.level == "ok") == all(criterion.met for criterion in found.criteria)


@given(FACTS, st.integers(0, 300), st.integers(0, 5))
def test_more_data_never_make_it_worse(facts: Facts, more: int, types: int) -> None:
    """Longer history, more kinds of events, and as many more leavers as stayers."""
    grown = msgspec.structs.replace(
        facts,
        labels=facts.labels + 2 * more,
        positives=facts.positives + more,
        history_days=facts.history_days + more,
        event_types=facts.event_types + types,
    )
    order = ["ok", "limited", "not enough"]

    assert order.index(verdict(grown, NEEDED).level) <= order.index(verdict(facts, NEEDED).level)
