"""The figures of a demo run as a person reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.demo.figures import Figures, Judged
from app.words import brief_amount
from streams.verify import headline


def lines(figures: Figures) -> Iterator[str]:
    """The report, line by line."""
    yield ""
    yield f"events in        {figures.events:,} in {figures.seconds:.1f} s: {figures.events_per_s:,.0f} events/s"
    yield f"refused          {_counts(figures.quarantined)}"
    yield f"customers        {figures.customers:,}, {figures.scores:,} scores emitted"
    yield f"examples matured {figures.examples:,}"
    yield f"verify           {headline(figures.verified)}"
    for judged in figures.judged:
        yield ""
        yield from _judged(judged)
    if figures.cutoffs:
        yield ""
        yield from _cutoffs(figures.cutoffs)
    yield ""
    yield "the customers most at risk, with what speaks for leaving (change of the log-odds)"
    for rank, customer in enumerate(figures.at_risk, start=1):
        yield f"{rank:3}. {customer['customer_id']:<18} {customer['probability']:.3f}  {_reasons(customer)}"
    yield ""
    yield f"snapshot         {figures.snapshot}"
    yield f"                 {figures.likely_to_churn:,} rows in likely_to_churn, counted by another process"
    yield f"deliveries       {_counts(figures.deliveries)}; the webhook received {figures.webhook_received:,}"


def _judged(judged: Judged) -> Iterator[str]:
    first = next(iter(judged.predictors.values()))
    share = first.positives / first.count
    yield f"{judged.name}: {first.count:,}, of whom {share:.1%} left"
    yield f"  {'':<25} {'AUC':>6} {'avg. precision':>15} {'log loss':>9} {'calibration error':>18}"
    for name, q in judged.predictors.items():
        yield f"  {name:<25} {_number(q.auc):>6} {_number(q.average_precision):>15} {q.log_loss:>9.3f} {q.ece:>18.3f}"


def _cutoffs(cutoffs: tuple[dict[str, Any], ...]) -> Iterator[str]:
    yield "newest emitted probability of every household at weekly cut-offs, no basket in the 30 days after"
    yield f"  {'cut-off':<11} {'households':>10} {'left':>6} {'AUC':>6} {'avg. precision':>15} {'log loss':>9}"
    for row in cutoffs:
        yield (
            f"  {row['cutoff']:<11} {row['count']:>10,} {row['positives'] / row['count']:>6.1%} "
            f"{_number(row['auc']):>6} {_number(row['average_precision']):>15} {row['log_loss']:>9.3f}"
        )


def _reasons(customer: dict[str, Any]) -> str:
    raising = [reason for reason in customer["reasons"] if reason["contribution"] > 0][:3]
    return ", ".join(
        f"{reason['feature']} {brief_amount(reason['feature'], reason['value'])} ({reason['contribution']:+.2f})"
        for reason in raising
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()) if count) or "none"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
