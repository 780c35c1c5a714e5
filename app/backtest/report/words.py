"""The verdict of a backtest in words that need no statistics."""

from __future__ import annotations

from collections.abc import Iterator

from models.backtest.judge import measured
from models.backtest.result import Campaign, Result
from models.evaluation import Evaluation


def headline(result: Result) -> str:
    """The one sentence to remember."""
    first = result.horizons[0]
    campaign = first.campaign
    if campaign is None:
        return "There is not enough history with known outcomes yet to judge the predictions."
    return (
        f"Contact the {campaign.share:.0%} of customers with the highest risk: among them are "
        f"{campaign.lift.value:.1f} times as many who leave as among customers picked by chance."
    ).replace("%", "\u00a0%")


def verdict(result: Result) -> Iterator[str]:
    """The rest of the verdict, sentence by sentence."""
    first = result.horizons[0]
    emitted = measured(first.evaluations, first.judged_days)
    if first.campaign is not None:
        yield (
            f"That reaches {percent(first.campaign.reached.value)} of all who leave "
            f"({percent(first.campaign.reached.low)} to {percent(first.campaign.reached.high)})."
        )
        yield _profit(result, first.campaign)
    if emitted.measures:
        yield _compared(emitted)
        yield _calibrated(emitted)
    yield result.sufficiency.sentence
    if result.audit is not None and result.audit.findings:
        yield "The audit has found signs of a leak: do not trust these figures before it is cleared up."
    yield _served(result)


def _profit(result: Result, campaign: Campaign) -> str:
    offer = result.offer
    beside = f"the rule {money(campaign.profit_rule)}, contacting everyone {money(campaign.profit_everyone)}"
    return (
        f"With an offer that costs {offer.offer_cost:g}, is accepted by {percent(offer.acceptance)} of those who "
        f"would leave and keeps a customer worth {offer.customer_value:g}, such a campaign at every weekly cut-off "
        f"would have {'earned' if campaign.profit >= 0 else 'lost'} {money(abs(campaign.profit))} ({beside})."
    )


def _compared(emitted: Evaluation) -> str:
    auc, loss = emitted.against["rule"]["auc"], emitted.against["rule"]["log_loss"]
    if auc.low > 0 and loss.high < 0:
        return "The model is clearly better than the simple rule “the longer silent, the riskier”."
    if auc.high < 0 or loss.low > 0:
        return "The model is worse than the simple rule “the longer silent, the riskier”: do not use it."
    return (
        "The model is not clearly better than the simple rule “the longer silent, the riskier”: "
        "its advantage lies within what chance explains."
        if auc.value > 0 or loss.value < 0
        else "The model is as good as the simple rule “the longer silent, the riskier”, no better."
    )


def _calibrated(emitted: Evaluation) -> str:
    said, came, miss = (emitted.measures[name].value for name in ("probability", "rate", "ece"))
    return (
        f"Told risks come true within {100 * miss:.1f} points on average: {percent(said)} were told to leave, "
        f"{percent(came)} left."
    )


def _served(result: Result) -> str:
    kinds = [one.model for one in result.served]
    if kinds == ["rule"]:
        return "The recency rule served all the time."
    last = result.served[-1]
    return f"Since {last.since[:10]} the {'recency rule' if last.model == 'rule' else f'{last.model} model'} serves."


def percent(value: float) -> str:
    """A share for reading."""
    digits = 0 if value >= 0.095 or not value else 1
    return f"{100 * value:.{digits}f}\u00a0%"


def money(value: float) -> str:
    """An amount for reading."""
    return f"{value:,.0f}"
