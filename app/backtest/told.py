"""A backtest as a person reads it in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from app.backtest.job import Done


def lines(done: Done) -> Iterator[str]:
    """What was done, line by line."""
    timings, backtest = done.timings, done.backtest
    yield (
        f"{backtest.events:,} events in {timings.wall_s:.1f} s ({timings.events_per_cpu_s:,.0f} per second of CPU, "
        f"{timings.peak_rss_mb:,.0f} MB), {done.predictions:,} predictions"
    )
    if backtest.refused:
        yield f"refused: {_counts(backtest.refused)}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
