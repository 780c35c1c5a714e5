"""One benchmark run: the parts asked for, on one broker, printed as one Markdown page."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.bench.cluster import Cluster, cluster
from tests.bench.contest import Size, contest, contestants
from tests.bench.floor import floor
from tests.bench.full import full
from tests.bench.latency import latency
from tests.bench.report import Table, machine, page
from tests.bench.scaling import scaling
from tests.bench.worker import Stuck
from tests.brokers import KafkaUnavailable

RESULTS = Path(__file__).parent / "RESULTS.md"
_PARTS = ("floor", "job", "full", "scaling", "latency")


class CannotMeasure(RuntimeError):  # noqa: N818 - reads as the fact that it states
    """No broker to measure on, or a worker that did not get through; the message says which."""


class Plan(msgspec.Struct, frozen=True):
    """What to measure. `peers` names contestants of the small job, empty for all; `cache` keeps their environments."""

    parts: tuple[str, ...] = _PARTS
    quick: bool = False
    rounds: int = 5
    broker: str = "auto"
    peers: tuple[str, ...] = ()
    cache: Path = Path("data/.bench")

    @property
    def size(self) -> Size:
        """Of the small job."""
        few = 3_000 if self.quick else 30_000
        return Size(events=100_000 if self.quick else 300_000, few=few, rounds=self.rounds, within_s=120.0)

    @property
    def whole(self) -> bool:
        return not self.quick and set(self.parts) == set(_PARTS) and not self.peers


def run(plan: Plan, json_path: Path | None = None, *, write: bool = False) -> str:
    """Measure and return the page; write it to RESULTS.md when everything was measured, or when asked to.

    Raises
    ------
    CannotMeasure
        See there.
    """
    # Clients report a topic that is being made as an error, and contestants that are killed as lost members.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        with cluster(plan.broker) as place:
            tables = [table for part in plan.parts for table in _measured(part, plan, place)]
            facts = machine(place.told, _command(plan))
    except (KafkaUnavailable, Stuck) as error:
        raise CannotMeasure(str(error)) from None
    if json_path is not None:
        json_path.write_bytes(msgspec.json.format(msgspec.json.encode({"facts": facts, "tables": tables})))
    text = page(tables, facts)
    if write or plan.whole:
        RESULTS.write_text(text)
    return text


def _measured(part: str, plan: Plan, place: Cluster) -> list[Table]:
    begun = time.monotonic()
    print(f"{part} ...", flush=True)
    tables = _PART[part](plan, place)
    print(f"{part}: {time.monotonic() - begun:.0f} s", flush=True)
    return tables


def _floor(plan: Plan, place: Cluster) -> list[Table]:
    return [floor(place, plan.size)]


def _job(plan: Plan, place: Cluster) -> list[Table]:
    return [contest(place, plan.size, contestants(plan.cache, plan.peers))]


def _full(plan: Plan, place: Cluster) -> list[Table]:
    return full(place, 80_000 if plan.quick else 300_000, 10_000, 1 if plan.quick else plan.rounds)


def _scaling(plan: Plan, place: Cluster) -> list[Table]:
    customers = (10_000, 100_000) if plan.quick else (10_000, 100_000, 1_000_000)
    return scaling(place, 40_000 if plan.quick else 200_000, customers, 1 if plan.quick else plan.rounds)


def _latency(plan: Plan, place: Cluster) -> list[Table]:
    return [latency(place, (1_000, 5_000, 10_000), 4.0 if plan.quick else 20.0)]


_PART: dict[str, Callable[[Plan, Cluster], list[Table]]] = {
    "floor": _floor,
    "job": _job,
    "full": _full,
    "scaling": _scaling,
    "latency": _latency,
}


def _command(plan: Plan) -> str:
    words = ["ebbtide bench"]
    words += ["--quick"] if plan.quick else []
    words += [f"--only {','.join(plan.parts)}"] if plan.parts != _PARTS else []
    words += [f"--peers {','.join(plan.peers)}"] if plan.peers else []
    return " ".join([*words, f"--rounds {plan.rounds}"])
