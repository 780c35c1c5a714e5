"""Echoes of leaving among event names."""

from __future__ import annotations

import numpy as np
import pytest

from models.audit import EchoLimits, label_echoes

DAY = 86_400.0
NAMES = ["Page Viewed", "Order Completed", "Payment Failed", "Cancel Page Viewed", "Refund Issued", "Cancelled"]
History = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def history(seed: int, *planted: str, customers: int = 600) -> History:
    """Half a year of visits and orders; a third leave, and some of those had failed payments in the weeks before.

    `planted` echoes are added: a cancel page hours before leaving, a refund the day after.
    """
    rng = np.random.default_rng(seed)
    left_at = np.where(rng.random(customers) < 1 / 3, rng.uniform(30, 170, customers), np.nan)
    events: list[tuple[int, int, float]] = []
    for who, left in enumerate(left_at.tolist()):
        end = 180.0 if np.isnan(left) else left
        events += [(who, int(rng.random() < 0.1), t) for t in rng.uniform(0, end, rng.poisson(end / 4))]
        events += [(who, 2, t) for t in rng.uniform(0, end, rng.poisson(end / 300))]
        if not np.isnan(left):
            events += [(who, 2, t) for t in rng.uniform(max(0.0, left - 20), left, rng.poisson(1.5))]
            events.append((who, 5, left))
            if "page" in planted and rng.random() < 0.6:
                events.append((who, 3, left - rng.uniform(0, 0.3)))
            if "refund" in planted and rng.random() < 0.4:
                events.append((who, 4, left + 1.0))
        elif "page" in planted and rng.random() < 0.03:
            events.append((who, 3, rng.uniform(0, 180)))
    who, name, day = (np.array(column) for column in zip(*events, strict=True))
    return who, name, day * DAY, left_at * DAY


@pytest.mark.parametrize("seed", range(5))
def test_clean_histories_give_no_finding(seed: int) -> None:
    """Payments that fail before many leave are a cause, not an echo."""
    assert label_echoes(NAMES, *history(seed), definition=["Cancelled"]) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_cancel_page_and_a_refund_are_found(seed: int) -> None:
    """The page, before leaving, is a fault though some who stay look at it; the refund, after it, a warning."""
    found = label_echoes(NAMES, *history(seed, "page", "refund"), definition=["Cancelled"])

    assert {(f.subject, f.severity) for f in found} == {("Refund Issued", "warning"), ("Cancel Page Viewed", "fault")}
    assert "before leaving" in next(f.sentence for f in found if f.severity == "fault")
    assert "after leaving" in next(f.sentence for f in found if f.severity == "warning")


def test_the_labels_own_events_are_passed_over() -> None:
    """Without the definition, the cancellation itself would be the first echo."""
    assert [f.subject for f in label_echoes(NAMES, *history(1))] == ["Cancelled"]


def test_few_leavers_prove_nothing() -> None:
    """Below the least number of customers, and without any event, there is no finding."""
    who, name, time, left_at = history(1, "page")

    assert label_echoes(NAMES, who, name, time, left_at, limits=EchoLimits(customers=10_000)) == []
    assert label_echoes(NAMES, who[:0], name[:0], time[:0], left_at) == []
