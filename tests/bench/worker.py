"""The real worker role as processes of the benchmark, watched through their status page."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
import orjson

from app.settings import to_env
from models.settings import BrokerSettings, HttpSettings, ScoreSettings, Settings, WorkerSettings
from streams.embedded import free_port
from streams.topics import SCORES, create_topics, topic_name
from tests.bench.cluster import Cluster, drop_topics, make_topics
from tests.bench.process import Child

#: The worker publishes its counts this often (worker.tick_s), so times are this exact.
TICK_S = 0.2
_WITHIN_S = 600.0


class Stuck(RuntimeError):  # noqa: N818 - reads as the fact that it states
    """A worker ended, or did not get through its events in time."""


class Look(NamedTuple):
    """What was seen of all workers at one moment: events decoded, records not yet settled, CPU seconds, bytes."""

    at: float
    events: tuple[int, ...]
    lag: int
    assigned: int
    customers: int
    scores: int
    cpu_s: float
    rss: int


class Stage(NamedTuple):
    """Topics of one measurement, and the settings of its workers."""

    broker: BrokerSettings
    settings: Settings


class Workers:
    """Running workers of one deployment."""

    def __init__(self, children: Sequence[Child], ports: Sequence[int]) -> None:
        self._children, self._ports = children, ports

    def look(self) -> Look:
        """Their state now; zeros of those that do not answer yet.

        Raises
        ------
        Stuck
            One has ended.
        """
        for child in self._children:
            if not child.alive:
                raise Stuck(f"a worker ended: {child.tail()}")
        told = [_status(port) for port in self._ports]
        lags = [lag for status in told for lag in status.get("lag", {}).values()]
        return Look(
            time.time(), tuple(status.get("events", 0) for status in told), sum(lags), len(lags),
            sum(status.get("customers", 0) for status in told), sum(status.get("scores", 0) for status in told),
            sum(child.cpu_s() for child in self._children), sum(child.rss_bytes() for child in self._children),
        )  # fmt: skip

    def until(self, what: Callable[[Look], bool], within_s: float = _WITHIN_S) -> tuple[Look, Look]:
        """Look until it is so; the last look before and the first after. Raises Stuck when it takes too long."""
        deadline, before = time.monotonic() + within_s, self.look()
        while True:
            time.sleep(TICK_S / 4)
            now = self.look()
            if what(now):
                return before, now
            if time.monotonic() > deadline:
                raise Stuck(f"not there within {within_s:.0f} s: {now}; {self._children[0].tail()}")
            before = now

    def joined(self, partitions: int) -> Look:
        """Wait until all partitions of the four topics are held and have nothing waiting."""
        return self.until(lambda look: look.assigned == 4 * partitions and not look.lag, 120.0)[1]


class Drained(NamedTuple):
    """What a measured stretch came to."""

    events: int
    wall_s: float
    cpu_s: float
    scores: int
    rss: int

    @property
    def rate(self) -> float:
        return self.events / self.wall_s

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.events * 1e6


@contextmanager
def stage(place: Cluster, **score: Any) -> Iterator[Stage]:
    """Topics and settings for one measurement; the topics are deleted at the end.

    Scores are stamped on arrival, so that latencies need no second clock.
    """
    broker = place.scratch()
    worker = WorkerSettings(tick_s=TICK_S, commit_interval_s=TICK_S)
    with tempfile.TemporaryDirectory(prefix="ebbtide-bench-") as folder:
        settings = Settings(data_dir=folder, broker=broker, worker=worker, score=ScoreSettings(**score))
        asyncio.run(make_topics(broker, topic_name(broker, SCORES), compacted=True))
        asyncio.run(create_topics(broker))
        try:
            yield Stage(broker, settings)
        finally:
            asyncio.run(drop_topics(broker))


@contextmanager
def workers(prepared: Stage, cores: Sequence[Sequence[int] | None] = ([0],)) -> Iterator[Workers]:
    """One worker process for each entry of `cores`, bound to these cores (None: anywhere)."""
    with ExitStack() as stack:
        children, ports = [], []
        for number, bound in enumerate(cores):
            ports.append(free_port())
            # Each with its own local state, as on machines of their own.
            home = Path(prepared.settings.data_dir) / str(number)
            home.mkdir()
            own = msgspec.structs.replace(
                prepared.settings, http=HttpSettings(worker_port=ports[-1]), data_dir=str(home)
            )
            command = [sys.executable, "-m", "app.cli", "worker"]
            children.append(stack.enter_context(Child(command, home / "log", to_env(own), bound)))
        yield Workers(children, ports)


def drain(running: Workers, events: int, count: int) -> Drained:
    """Wait until so many waiting events are worked off, from the last look at which no worker had begun its share.

    With several workers the stretch begins when all of them work; what was done before does not count.
    """
    first, _ = running.until(lambda look: all(look.events))
    _, last = running.until(lambda look: look.assigned == count and not look.lag and sum(look.events) >= events)
    done = sum(first.events)
    return Drained(events - done, last.at - first.at, last.cpu_s - first.cpu_s, last.scores - first.scores, last.rss)


def _status(port: int) -> dict[str, Any]:
    try:
        with urlopen(f"http://127.0.0.1:{port}/status", timeout=10.0) as answer:
            found: dict[str, Any] = orjson.loads(answer.read())
            return found
    except (URLError, TimeoutError, ConnectionError):
        return {}
