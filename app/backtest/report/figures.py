"""Which charts a report has, and what each says to someone who has not seen one like it."""

from __future__ import annotations

import html
from collections.abc import Iterator
from datetime import datetime

from app.backtest.report import charts
from app.backtest.report.words import percent
from models.backtest.judge import measured
from models.backtest.result import Horizon
from models.evaluation import EMITTED, Interval

_DIAGONAL = {"x": [0.0, 1.0], "y": [0.0, 1.0]}
#: What a predictor is called in a chart.
NAMES = {EMITTED: "model", "rule": "rule", "prior": "prior"}


def campaign_figures(horizon: Horizon) -> Iterator[str]:
    """What a campaign would reach and earn."""
    curves, campaign = horizon.curves, horizon.campaign
    if campaign is None:
        return
    reached = percent(campaign.reached.value)
    says = f"Contacting the {percent(campaign.share)} at highest risk reaches {reached} of those who leave."
    title = "Who is reached"
    yield _figure(title, says, charts.lines(
        "gain", title, says, _named(curves.gain), x="share of customers contacted", y="share of leavers reached",
        chance=_DIAGONAL, percent="xy",
    ))  # fmt: skip
    says = (
        f"In the {percent(campaign.share)} at highest risk {campaign.lift.value:.1f} times as many leave as elsewhere."
    )
    title = "How much better than chance"
    lift = {name: {"x": line["x"][1:], "y": line["lift"][1:]} for name, line in curves.gain.items()}
    yield _figure(title, says, charts.lines(
        "lift", title, says, _named(lift), x="share of customers contacted", y="times as many leavers",
        chance={"x": [0.0, 1.0], "y": [1.0, 1.0]}, percent="x", floor=0.0,
    ))  # fmt: skip
    line = curves.profit[EMITTED]
    at = max(range(len(line["y"])), key=line["y"].__getitem__)
    says = (
        f"The best would have been to contact {percent(line['x'][at])}: {line['y'][at]:.2f} per customer and campaign."
        if line["y"][at] > 0
        else "With these costs no campaign would have earned money."
    )
    title = "What a campaign earns"
    yield _figure(title, says, charts.lines(
        "profit", title, says, _named(curves.profit), x="share of customers contacted", y="profit per customer",
        percent="x", chance={"x": [0.0, 1.0], "y": [0.0, line["y"][-1]]}, best=(line["x"][at], line["y"][at]),
    ))  # fmt: skip
    says = f"Told risk against what happened; {_miss(horizon)}. Bars: 95 % of what chance allows."
    title = "Whether probabilities come true"
    yield _figure(title, says, charts.reliability("reliability", title, says, horizon.calibration))


def ranking_figures(horizon: Horizon) -> Iterator[str]:
    """ROC and precision and recall."""
    measures = measured(horizon.evaluations, horizon.judged_days).measures
    if not measures:
        return
    says = (
        f"A leaver has a higher risk than a stayer in {percent(measures['auc'].value)} of all pairs "
        f"(AUC {measures['auc'].value:.3f})."
    )
    title = "ROC curve"
    yield _figure(title, says, charts.lines(
        "roc", title, says, _named(horizon.curves.roc), x="stayers called leavers", y="leavers found",
        chance=_DIAGONAL, percent="xy",
    ))  # fmt: skip
    rate = measures["rate"].value
    mean = measures["average_precision"].value
    says = f"How many of those called leavers do leave; {percent(rate)} of all do. The mean is {mean:.3f}."
    title = "Precision and recall"
    yield _figure(title, says, charts.lines(
        "precision", title, says, _named(horizon.curves.precision_recall), x="leavers found", y="right among called",
        chance={"x": [0.0, 1.0], "y": [rate, rate]}, percent="xy", floor=0.0,
    ))  # fmt: skip


def time_figures(horizon: Horizon) -> Iterator[str]:
    """Measures at weekly cut-offs."""
    times = [datetime.fromisoformat(one.as_of) for one in horizon.cutoffs]
    if not any(one.measures for one in horizon.cutoffs):
        return

    def series(measure: str, *predictors: str) -> dict[str, list[Interval | None]]:
        return {
            NAMES[name]: [one.measures.get(name, {}).get(measure) for one in horizon.cutoffs] for name in predictors
        }

    says = "Higher is better; the area is the 95 % interval of one week. Weeks without a line are not known yet."
    title = "Ranking, week by week (AUC)"
    yield _figure(title, says, charts.over_time(
        "auc-weeks", title, says, times, series("auc", EMITTED, "rule"), y="AUC", band="model"
    ))  # fmt: skip
    says = "Lower is better: how surprised the probabilities are by what happens. Prior: the same for everybody."
    title = "Log loss, week by week"
    yield _figure(title, says, charts.over_time(
        "loss-weeks", title, says, times, series("log_loss", EMITTED, "rule", "prior"), y="nats", band="model"
    ))  # fmt: skip
    says = "What share leaves, and what share the probabilities let expect before it is known."
    title = "Leavers, week by week"
    real = {
        "expected": [one.expected.get("rate") for one in horizon.cutoffs],
        "real": series("rate", EMITTED)["model"],
    }
    yield _figure(title, says, charts.over_time("rate-weeks", title, says, times, real, y="share", percent="y"))
    says = "Mean distance of told probability and share that left; what is not due to chance should stay near 0."
    title = "Calibration error, week by week"
    yield _figure(title, says, charts.over_time(
        "ece-weeks", title, says, times, series("ece", EMITTED, "rule"), y="points", percent="y", band="model"
    ))  # fmt: skip


def _named(curves: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, list[float]]]:
    return {NAMES[name]: line for name, line in curves.items()}


def _miss(horizon: Horizon) -> str:
    measures = measured(horizon.evaluations, horizon.judged_days).measures
    return f"they miss by {100 * measures['ece'].value:.1f} points on average" if measures else "too few to say more"


def _figure(title: str, says: str, svg: str) -> str:
    return (
        f"<figure><figcaption><h3>{html.escape(title)}</h3><span>{html.escape(says)}</span></figcaption>{svg}</figure>"
    )
