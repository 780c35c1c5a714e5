"""Runs the demo from beginning to end."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

import msgspec

from app.broker import MEMORY_ONLY, own_broker
from app.demo import figures as fig
from app.demo.report import lines
from app.demo.scenario import Scenario, choose
from app.demo.settle import settle
from app.demo.stage import Stage, demo_settings, staged
from app.errors import AppError
from app.progress import Report, progress
from app.roles import loop_factory, stop_on_signals
from app.sending import INTERRUPTED, remark
from models.settings import Settings
from streams.replay import ReplayError, ReplayReport, replay
from streams.sources import SourceError
from streams.topics import TopicsUnavailable
from streams.verify import CannotVerify, verify
from streams.verify import Report as Verification
from streams.warehouse.query import customers_at_risk, summary
from streams.warehouse.snapshot import newest

_STALLED_AFTER_S = 60.0
_COMMITTED_WITHIN_S = 30.0
_SHOWN = 10


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Play the story, print its figures; 0 if every part did its work, 1 otherwise.

    Raises
    ------
    AppError
        A part could not run or did not finish; nothing is left running.
    """
    scenario = choose(args)
    settings = scenario.settings(demo_settings(settings))
    with own_broker(settings) as (connected, embedded), asyncio.Runner(loop_factory=loop_factory()) as runner:
        print(f"demo     {scenario.title}")
        print(f"broker   {connected.broker.bootstrap}" + (f"  ({MEMORY_ONLY})" if embedded else ""))
        try:
            return runner.run(_play(scenario, connected, args))
        except (ReplayError, SourceError, TopicsUnavailable) as error:
            raise AppError(str(error)) from None


async def _play(scenario: Scenario, settings: Settings, args: argparse.Namespace) -> int:
    stop = stop_on_signals()
    async with staged(settings) as stage:
        print(f"console  {stage.console}")
        print(f"logs     {settings.data_dir}/logs", flush=True)
        started = time.monotonic()
        sent = await _send(scenario, stage, stop)
        if stop.is_set():
            return _stopped()
        finished = await _settle(stage, sent, stop)
        if stop.is_set():
            return _stopped()
        figures = await _figures(scenario, stage, finished - started, await _verify(stage))
        for line in lines(figures):
            print(line)
        if args.json:
            _write(args.json, figures)
        found = fig.problems(figures, sent.events)
        for problem in found:
            print(f"problem: {problem}", file=sys.stderr)
        if args.keep or sys.stdout.isatty():
            print(f"\nstill running, look at {stage.console} - Ctrl-C ends it", flush=True)
            await stop.wait()
        print("\nstopping: worker, trainer, warehouse, sync", flush=True)
    return 1 if found else 0


async def _send(scenario: Scenario, stage: Stage, stop: asyncio.Event) -> ReplayReport:
    with progress("events sent", 1.0) as report:

        def show(count: int, event_time: float) -> None:
            report(scenario.share(count, event_time), remark(count, event_time))

        return await replay(scenario.events(), stage.settings.broker, progress=show, stop=stop)


async def _settle(stage: Stage, sent: ReplayReport, stop: asyncio.Event) -> float:
    with progress("settling", None) as report:
        tell: Report = report
        return await settle(stage, sent.events, lambda missing: tell(0.0, missing), stop, _STALLED_AFTER_S)


async def _verify(stage: Stage) -> Verification:
    """Recompute every feature from the raw log, and leave the log for `ebbtide verify`: the broker's memory ends."""
    with progress("verifying", None):
        try:
            return await verify(
                stage.settings, wait_s=_COMMITTED_WITHIN_S, export_to=Path(stage.settings.data_dir) / "log"
            )
        except (CannotVerify, OSError) as error:
            msg = f"cannot verify: {error}"
            raise AppError(msg) from None


def _stopped() -> int:
    print("stopped before the end: no figures", flush=True)
    return INTERRUPTED


async def _figures(scenario: Scenario, stage: Stage, seconds: float, verified: Verification) -> fig.Figures:
    path: Path = newest(stage.settings.data_dir)
    status = {role: answer.status for role, answer in (await stage.statuses()).items()}
    totals, outside, judged, cutoffs = await asyncio.gather(
        asyncio.to_thread(summary, path),
        asyncio.to_thread(fig.count_from_outside, path),
        asyncio.to_thread(fig.judge, path, scenario),
        asyncio.to_thread(fig.at_cutoffs, path, scenario),
    )
    return fig.Figures(
        scenario=scenario.title,
        events=status["worker"]["events"],
        seconds=round(seconds, 1),
        events_per_s=round(status["worker"]["events"] / seconds, 1),
        customers=status["worker"]["customers"],
        scores=totals["snapshot"]["scores_history"],
        examples=totals["examples"],
        quarantined=status["worker"]["quarantine"],
        judged=judged,
        cutoffs=cutoffs,
        at_risk=tuple(await asyncio.to_thread(customers_at_risk, path, _SHOWN)),
        likely_to_churn=outside,
        snapshot=str(path),
        deliveries=status["sync"].get("deliveries", {}),
        webhook_received=stage.receiver.accepted_total,
        console=stage.console,
        verified=verified,
    )


def _write(path: str, figures: fig.Figures) -> None:
    try:
        Path(path).write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    except OSError as error:
        msg = f"cannot write {path!r}: {(error.strerror or str(error)).lower()}"
        raise AppError(msg) from None
