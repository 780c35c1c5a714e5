"""What a retention campaign earns when the riskiest customers are contacted.

Neslin, Gupta, Kamakura, Lu and Mason (2006), "Defection detection", Journal of Marketing Research 43(2); as used for
the maximum profit measure by Verbeke, Dejaeger, Martens, Hur and Baesens (2012), European Journal of Operational
Research 218(1). Everyone contacted costs `contact_cost`. A customer who would have left accepts the offer with
probability `acceptance`; it then costs `offer_cost` and saves `customer_value`. A customer who would have stayed takes
the offer too and costs it. So contacting one customer earns

    leaver: acceptance * (customer_value - offer_cost) - contact_cost
    stayer: -offer_cost - contact_cost

The fixed cost of a campaign is left out: it changes no decision but whether to run one at all.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from models.evaluation.measures import Array, Floats, in_top
from models.settings import OfferSettings


class ProfitCurve(msgspec.Struct, frozen=True, eq=False):
    """Profit of contacting the `contacted` riskiest customers, and the lowest `threshold` among them.

    The first point is nobody: profit 0, threshold infinite. Equal scores are contacted together.
    """

    contacted: Floats
    profit: Floats
    threshold: Floats


class BestContact(msgspec.Struct, frozen=True):
    """The point of a profit curve with the most profit; `contacted` 0 where contacting anyone loses money."""

    contacted: int
    threshold: float
    profit: float


def values(outcomes: Array, offer: OfferSettings) -> Floats:
    """What contacting each customer earns. `outcomes` are labels, or probabilities for the expected profit."""
    leaver = offer.acceptance * (offer.customer_value - offer.offer_cost) - offer.contact_cost
    stayer = -offer.offer_cost - offer.contact_cost
    return np.asarray(stayer + (leaver - stayer) * np.asarray(outcomes, dtype=np.float64), dtype=np.float64)


def profit_at(outcomes: Array, scores: Array, top: float, offer: OfferSettings) -> float:
    """Profit of contacting the `top` (see `measures.in_top`) of highest scores."""
    return float((in_top(scores, top) * values(outcomes, offer)).sum())


def profit_above(outcomes: Array, probabilities: Array, offer: OfferSettings) -> float:
    """Profit of contacting everyone above `threshold(offer)`: what following the probabilities earns."""
    return float(values(outcomes, offer)[probabilities > threshold(offer)].sum())


def threshold(offer: OfferSettings) -> float:
    """The probability above which contacting a customer is expected to earn money; infinite when it never does.

    It needs no labels, so it is free of hindsight; it is best when the probabilities are calibrated.
    """
    gain = offer.acceptance * (offer.customer_value - offer.offer_cost) + offer.offer_cost
    return (offer.offer_cost + offer.contact_cost) / gain if gain > 0.0 else math.inf


def profit_curve(outcomes: Array, scores: Array, offer: OfferSettings, points: int = 0) -> ProfitCurve:
    """Profit by the number contacted, riskiest first; thinned to `points` points besides the first, 0 for all."""
    order = np.argsort(-scores, kind="stable")
    ranked = np.asarray(scores, dtype=np.float64)[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.zeros(0, dtype=np.intp)
    if points and len(ends) > points:
        ends = ends[np.linspace(0, len(ends) - 1, points).round().astype(np.intp)]
    earned = np.cumsum(values(outcomes, offer)[order])
    return ProfitCurve(np.append(0.0, ends + 1.0), np.append(0.0, earned[ends]), np.append(math.inf, ranked[ends]))


def best(curve: ProfitCurve) -> BestContact:
    """The most profitable point of a curve, the smaller campaign on a tie. With labels, this is hindsight."""
    at = int(np.argmax(curve.profit))
    return BestContact(int(curve.contacted[at]), float(curve.threshold[at]), float(curve.profit[at]))
