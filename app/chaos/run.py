"""A chaos run from the beginning to the verdict."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from app.chaos.check import Verdict, check
from app.chaos.conductor import Broker, Conductor
from app.chaos.evidence import collect
from app.chaos.expected import Expected, expect
from app.chaos.feeder import Feeder
from app.chaos.fleet import Exit, Fleet, require_signals
from app.chaos.plan import TRAINERS, Fault, counts, plan
from app.chaos.story import Story
from app.chaos.watch import Watch
from app.errors import AppError
from models.settings import HttpSettings, LabelSettings, Settings, TrainerSettings, WorkerSettings
from streams.outside import BrokerAway, delete_topics
from streams.topics import TopicsUnavailable, create_topics, topic_specs
from streams.verify import CannotVerify, verify

#: Short enough for many faults in a few minutes, long enough for a busy machine, in seconds.
SESSION_S, _REBALANCE_S = 6.0, 10.0
_STALLED_AFTER_S = 120.0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What one run does. `keep` leaves its topics on the cluster."""

    events: int = 200_000
    faults: int = 20
    seed: int = 1
    json: str | None = None
    keep: bool = False


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run has found; `events_per_s` includes every outage."""

    seed: int
    verdict: Verdict
    faults: tuple[Fault, ...]
    exits: list[Exit]
    seconds: float
    events_per_s: float
    rebalances: int
    starts: int
    slowest_drain_s: float
    resent: int

    @property
    def passed(self) -> bool:
        """Whether every number is right, and no process ended but by our hand or on purpose."""
        return self.verdict.clean and all(end.on_purpose for end in self.exits)


def chaos_settings(settings: Settings) -> Settings:
    """The settings of one run: topics and folder of its own, event time, short timeouts, labels that mature early."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    replace = msgspec.structs.replace
    return replace(
        settings,
        data_dir=str(Path(settings.data_dir) / f"chaos-{stamp}"),
        broker=replace(
            settings.broker, topic_prefix=f"chaos-{uuid.uuid4().hex[:8]}-", create_topics=True,
            session_timeout_s=SESSION_S, rebalance_timeout_s=_REBALANCE_S,
        ),
        # Local state is written, and idle customers leave the memory and come back, as often as it goes.
        worker=WorkerSettings(
            clock="event", chunk_records=500, commit_interval_s=0.5, tick_s=0.25, snapshot_every_s=3.0,
            evict_after_days=5.0,
        ),
        label=LabelSettings(kind="cancellation", horizon_days=10, snapshot_every_days=1.5),
        trainer=TrainerSettings(),
        http=HttpSettings(worker_port=0, trainer_port=0),
    )  # fmt: skip


def run(settings: Settings, options: Options, broker: Broker | None = None) -> int:
    """Do a run with these settings (see `chaos_settings`), print its log and its verdict; 0 if all is right, else 1.

    Raises
    ------
    AppError
        The run could not be carried out, or did not come to its end.
    """
    require_signals()
    # The outages are our own doing: that clients complain of them is no news.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        faults = plan(options.seed, options.faults, options.events, session_s=SESSION_S, broker=broker is not None)
        result = asyncio.run(_run(settings, options, faults, broker))
    except (TopicsUnavailable, BrokerAway, CannotVerify) as error:
        raise AppError(str(error)) from None
    for line in report(result):
        print(line)
    if options.json:
        _write(options.json, result)
    print(result.verdict, flush=True)
    return 0 if result.passed else 1


async def _run(settings: Settings, options: Options, faults: tuple[Fault, ...], broker: Broker | None) -> Result:
    story = Story(seed=options.seed, events=options.events, partitions=settings.broker.partitions)
    await _own_topics(settings)
    folder = Path(settings.data_dir)
    print(f"seed {options.seed}, {options.events:,} events, {len(faults)} faults; logs in {folder / 'logs'}")
    truth = await asyncio.to_thread(expect, story, settings)
    started = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - started:7.1f} s  {line}", flush=True)

    watch = Watch(settings)
    async with Fleet(settings, folder, tell) as fleet, watch.looking():
        feeder = Feeder(story, settings.broker, watch)
        await _play(Conductor(fleet, broker, watch, tell), feeder, faults, sum(truth.sent.values()))
        tell(f"all faults are over, and {feeder.sent:,} records sent")
        await watch.drained(_STALLED_AFTER_S)
        seconds = time.monotonic() - started
        tell("everything is processed and committed")
        await _stop(fleet, watch)
    tell("all roles have stopped; reading the topics")
    verdict = await _judge(settings, truth)
    if verdict.clean and not options.keep:
        await delete_topics(settings.broker, [spec.name for spec in topic_specs(settings.broker)])
    return Result(
        seed=options.seed, verdict=verdict, faults=faults, exits=fleet.exits, seconds=round(seconds, 1),
        events_per_s=round(feeder.sent / seconds, 1), rebalances=watch.rebalances, starts=fleet.starts,
        slowest_drain_s=round(fleet.slowest_drain_s, 1), resent=feeder.resent,
    )  # fmt: skip


async def _own_topics(settings: Settings) -> None:
    """Create the run's topics. Raises AppError if one of them exists: then they are somebody else's."""
    created = set(await create_topics(settings.broker))
    existing = [spec.name for spec in topic_specs(settings.broker) if spec.name not in created]
    if existing:
        raise AppError(f"cannot run on topics that exist: {', '.join(existing)}; allowed: a prefix of the run's own")


async def _play(conductor: Conductor, feeder: Feeder, faults: tuple[Fault, ...], total: int) -> None:
    await conductor.begin()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(feeder.run(), name="feeder")
            group.create_task(conductor.run(faults, total), name="conductor")
    except BaseExceptionGroup as errors:
        expected, others = errors.split(AppError)
        if expected is None or others is not None:
            raise
        raise AppError("; ".join(str(error) for error in expected.exceptions)) from None


async def _stop(fleet: Fleet, watch: Watch) -> None:
    """Workers first: what they still write is the trainers'."""
    for name in [name for name in fleet.running if name not in TRAINERS]:
        await fleet.remove(name)
    await watch.drained(_STALLED_AFTER_S)
    for name in TRAINERS:
        await fleet.remove(name)


async def _judge(settings: Settings, expected: Expected) -> Verdict:
    """Our own comparison, and that of the recomputation in SQL, which shares no code with the worker."""
    verdict = check(expected, await collect(settings, expected.now), settings.label)
    found = await verify(settings)
    cases = [f"{one.customer_id} in {one.feature} ({one.check})" for one in found.mismatches]
    verdict.note("values that SQL finds otherwise", cases, wrong=found.mismatched)
    others = found.without_state + found.without_events + found.unreadable
    verdict.note("customers or events that SQL misses or finds too many", found.named, wrong=others)
    verdict.figures |= {"customers recomputed in SQL": found.customers, "scores recomputed in SQL": found.served}
    return verdict


def report(result: Result) -> list[str]:
    """The result in lines, without the verdict's own."""
    figures: dict[str, Any] = {
        "faults": ", ".join(f"{count} {kind}" for kind, count in counts(result.faults).items()),
        "process starts": result.starts,
        "rebalances seen": result.rebalances,
        "slowest drain in seconds": result.slowest_drain_s,
        "seconds": result.seconds,
        "events per second": result.events_per_s,
        "records sent again by the feeder": result.resent,
        **result.verdict.figures,
    }
    lines = ["", *(f"{name:<46} {_shown(value)}" for name, value in figures.items())]
    lines += _section("ends that nobody asked for", [str(end) for end in result.exits])
    return [*lines, *_section("findings", result.verdict.findings), ""]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"{title}:", *(f"  {line}" for line in lines)] if lines else []


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, (int, float)) else str(value)


def _write(path: str, result: Result) -> None:
    try:
        Path(path).write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    except OSError as error:
        raise AppError(f"cannot write {path!r}: {(error.strerror or str(error)).lower()}") from None
