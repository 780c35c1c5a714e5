"""Campaign profit against adding up customer by customer, and against the published formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation import measures, profit
from models.settings import OfferSettings

OFFER = OfferSettings(contact_cost=1.0, offer_cost=10.0, acceptance=0.3, customer_value=200.0)
OFFERS = st.builds(
    OfferSettings,
    contact_cost=st.floats(0, 5),
    offer_cost=st.floats(0, 20),
    acceptance=st.floats(0, 1),
    customer_value=st.floats(0, 300),
)
PAIRS = st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.8])), max_size=30)
Pairs = list[tuple[int, float]]


def arrays(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    return np.array([y for y, _ in pairs], dtype=np.int64), np.array([p for _, p in pairs], dtype=np.float64)


def test_two_contacts_by_hand() -> None:
    """A leaver earns .3 * (200 - 10) - 1 = 56; a stayer costs 11."""
    labels, scores = np.array([1, 0, 1]), np.array([0.9, 0.8, 0.1])

    assert profit.values(labels, OFFER).tolist() == [56.0, -11.0, 56.0]
    assert profit.profit_at(labels, scores, 2, OFFER) == 45.0
    assert profit.profit_curve(labels, scores, OFFER).profit.tolist() == [0.0, 56.0, 45.0, 101.0]
    assert profit.best(profit.profit_curve(labels, scores, OFFER)) == profit.BestContact(3, 0.1, 101.0)


@given(PAIRS.filter(lambda pairs: any(y for y, _ in pairs)), OFFERS, st.sampled_from([0.1, 0.25, 0.5, 1.0]))
def test_profit_is_the_formula_of_neslin(pairs: Pairs, offer: OfferSettings, share: float) -> None:
    """N a {[g V + d (1 - g)] b l - d - c} with base rate b, lift l, contacted share a; no fixed cost."""
    labels, scores = arrays(pairs)
    contacted = measures.top_size(len(pairs), share)
    caught = labels.mean() * measures.lift_at(labels, scores, share)
    keep = offer.acceptance * offer.customer_value + offer.offer_cost * (1.0 - offer.acceptance)
    expected = contacted * (keep * caught - offer.offer_cost - offer.contact_cost)

    assert profit.profit_at(labels, scores, share, offer) == pytest.approx(expected, abs=1e-6)


@given(PAIRS, OFFERS)
def test_the_threshold_parts_those_worth_contacting(pairs: Pairs, offer: OfferSettings) -> None:
    """No set of customers has a higher expected profit than those above the threshold."""
    _, p = arrays(pairs)
    each = profit.values(p, offer)

    assert profit.profit_above(p, p, offer) == pytest.approx(each[each > 0].sum(), abs=1e-6)
    curve = profit.profit_curve(p, p, offer)
    assert profit.best(curve).profit == pytest.approx(profit.profit_above(p, p, offer), abs=1e-6)


def test_an_offer_that_nobody_takes_is_never_worth_it() -> None:
    """The threshold is infinite or above 1, and the best campaign contacts nobody."""
    useless = OfferSettings(acceptance=0.0, offer_cost=10.0)
    labels, scores = np.array([1, 1]), np.array([0.9, 0.8])

    assert profit.threshold(useless) > 1.0
    assert profit.threshold(OfferSettings(acceptance=0.0, offer_cost=0.0)) == math.inf
    assert profit.best(profit.profit_curve(labels, scores, useless)) == profit.BestContact(0, math.inf, 0.0)


def test_a_long_curve_is_thinned_to_points_of_itself() -> None:
    """Every point of the thinned curve lies on the full one, the last is everyone."""
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 2, 3000), rng.random(3000)
    full, thin = (profit.profit_curve(labels, scores, OFFER, points) for points in (0, 40))
    at = thin.contacted.astype(int)

    assert (len(full.profit), len(thin.profit), at[-1]) == (3001, 41, 3000)
    assert thin.profit.tolist() == full.profit[at].tolist()
