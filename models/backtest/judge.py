"""From a backtest to its result: counts, measures, curves, a campaign, drift and importance. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from models.backtest.curves import curves_of
from models.backtest.drift import drift_of, importance_of
from models.backtest.result import Campaign, Cutoff, Horizon, LabelCard
from models.backtest.rows import RULE, Judged
from models.backtest.truth import UNKNOWN
from models.churn.serving import ServingModel
from models.evaluation import EMITTED, Evaluation, EvaluationRows, estimate, evaluate, profit_at, reliability
from models.features.base import Feature
from models.scoring import iso
from models.settings import LabelSettings, OfferSettings

#: Who is contacted in the campaign that the report tells of.
TOP = 0.1
#: The window that curves and campaign speak of, in days; earlier predictions were made before much was learned.
JUDGED_DAYS = 90.0
_DAY_S = 86_400.0


def judge_horizon(
    found: Judged, label: LabelSettings, offer: OfferSettings, model: ServingModel, features: Sequence[Feature],
    known_until: float,
) -> Horizon:  # fmt: skip
    """Everything of one horizon. `model` is the one in use at the end, `known_until` epoch seconds."""
    rows = found.rows
    evaluations = evaluate(rows, known_until, offer, top=TOP)
    days, recent = _recent(rows, evaluations, known_until)
    return Horizon(
        horizon_days=found.horizon_days,
        card=label_card(found, label),
        evaluations=evaluations,
        judged_days=days,
        cutoffs=_cutoffs(found, offer, known_until),
        curves=curves_of(recent, offer),
        calibration=reliability(recent.label, recent.probability),
        campaign=_campaign(recent, evaluations, days, offer),
        importance=importance_of(found, model, features, label),
        drift=drift_of(found, features),
    )


def label_card(found: Judged, label: LabelSettings) -> LabelCard:
    """Definition, cohort and counts of a horizon."""
    counts = np.bincount(found.outcomes, minlength=8)
    labelled = np.isfinite(found.rows.label)
    left = int((found.rows.label[labelled] == 1).sum())
    return LabelCard(
        kind=label.kind,
        horizon_days=found.horizon_days,
        gap_days=label.gap_days,
        definition=_definition(label, found.horizon_days),
        cohort=_cohort(label),
        customers=len(np.unique(found.rows.customer)),
        predictions=len(labelled),
        stayed=int(labelled.sum()) - left,
        left=left,
        void=int((~labelled & (found.outcomes != UNKNOWN)).sum()),
        unknown=int(counts[UNKNOWN]),
    )


def _definition(label: LabelSettings, horizon_days: float) -> str:
    begin = f"{label.gap_days:g} days after the prediction" if label.gap_days else "the prediction"
    if label.kind == "inactivity":
        return f"left: none of {_listed(label.activity_events)} within {horizon_days:g} days from {begin} on"
    causes = "" if label.involuntary == "churn" else "; not counted: leaving because a payment failed"
    return f"left: {_listed(label.cancellation_events)} within {horizon_days:g} days from {begin} on{causes}"


def _cohort(label: LabelSettings) -> str:
    if label.kind == "inactivity":
        return f"customers with {_listed(label.activity_events)} in the last {label.active_within_days:g} days"
    return "customers with a purchase who have not left, or have come back"


def _listed(names: Sequence[str]) -> str:
    return " or ".join(f"“{name}”" for name in names)


def measured(evaluations: Sequence[Evaluation], days: float | None, predictor: str = EMITTED) -> Evaluation:
    """The evaluation of a predictor over a window."""
    return next(one for one in evaluations if one.window_days == days and one.predictor == predictor)


def _recent(
    rows: EvaluationRows, evaluations: Sequence[Evaluation], known_until: float
) -> tuple[float | None, EvaluationRows]:
    """The labelled rows of the judged window, or of all time where that has too few."""
    days = JUDGED_DAYS if measured(evaluations, JUDGED_DAYS).measures else None
    chosen = np.isfinite(rows.label) & (rows.due_at > known_until - (days or math.inf) * _DAY_S)
    return days, rows.where(chosen)


def _cutoffs(found: Judged, offer: OfferSettings, known_until: float) -> list[Cutoff]:
    told = []
    for as_of, model in found.models:
        rows = found.rows.where(found.rows.as_of == as_of)
        labels = rows.label[np.isfinite(rows.label)]
        by_predictor = evaluate(rows, known_until, offer, windows_days=(), top=TOP)
        told.append(
            Cutoff(
                as_of=iso(as_of),
                predictions=len(rows.label),
                labelled=len(labels),
                positives=int(labels.sum()),
                model=model,
                measures={one.predictor: one.measures for one in by_predictor if one.measures},
                expected=estimate(rows.customer, rows.probability, top=TOP),
            )
        )
    return told


def _campaign(
    rows: EvaluationRows, evaluations: Sequence[Evaluation], days: float | None, offer: OfferSettings
) -> Campaign | None:
    measures = measured(evaluations, days).measures
    if not measures:
        return None
    profits: Mapping[str, float] = {
        name: sum(
            profit_at(part.label, column, top, offer)
            for as_of in np.unique(rows.as_of)
            for part in [rows.where(rows.as_of == as_of)]
            for column in [part.probability if name == EMITTED else part.references[RULE]]
        )
        for name, top in ((EMITTED, TOP), (RULE, TOP), ("everyone", 1.0))
    }
    return Campaign(
        share=TOP, lift=measures["lift_at_top"], reached=measures["recall_at_top"],
        profit=profits[EMITTED], profit_rule=profits[RULE], profit_everyone=profits["everyone"],
    )  # fmt: skip
