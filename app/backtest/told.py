"""A backtest as a person reads it in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from app.backtest.report.words import headline, verdict
from models.backtest.audit import AuditReport
from models.backtest.judge import measured
from models.backtest.result import Horizon, Result

_MEASURES = ("auc", "average_precision", "log_loss", "ece", "lift_at_top")
_PREDICTORS = ("emitted", "rule", "prior")


def lines(result: Result) -> Iterator[str]:
    """What was done and how good it was, line by line."""
    timings, data = result.timings, result.data
    predictions = sum(horizon.card.predictions for horizon in result.horizons)
    yield (
        f"{data.events:,} events in {timings['wall_s']:.1f} s ({timings['events_per_cpu_s']:,.0f} per second of CPU, "
        f"{timings['peak_rss_mb']:,.0f} MB), {timings['predictions']:,.0f} predictions, {predictions:,} judged"
    )
    if result.ended == "stopped":
        yield f"stopped by a signal; all that follows is of the events until {data.last_event[:10]}"
    if data.refused:
        yield f"refused: {_counts(data.refused)}"
    if data.late:
        yield f"out of order: {data.late:,} events came too late to be sorted in"
    for horizon in result.horizons:
        yield ""
        yield from _horizon(horizon)
    yield ""
    yield headline(result)
    yield from verdict(result)
    if result.audit is not None:
        yield ""
        yield from _audit(result.audit)


def _horizon(horizon: Horizon) -> Iterator[str]:
    card = horizon.card
    yield f"{card.definition}; {card.left:,} of {card.left + card.stayed:,} judged predictions"
    span = "all time" if horizon.judged_days is None else f"the last {horizon.judged_days:g} days"
    yield f"  {span:<18}" + "".join(f"{name.replace('_', ' '):>19}" for name in _MEASURES)
    for predictor in _PREDICTORS:
        told = measured(horizon.evaluations, horizon.judged_days, predictor).measures
        yield f"  {predictor:<18}" + "".join(
            f"{told[name].value:>19.3f}" if told else f"{'-':>19}" for name in _MEASURES
        )


def _audit(audit: AuditReport) -> Iterator[str]:
    if audit.clean:
        yield f"audit: no leak found; looked for {'; '.join(audit.checks)}"
    for finding in audit.findings:
        yield f"audit: {finding.severity} ({finding.kind}): {finding.sentence}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
