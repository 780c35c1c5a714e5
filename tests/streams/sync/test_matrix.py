"""Every destination against its emulator, through the real sink and real HTTP, in a storm of trouble."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.records import Score
from models.settings import Settings, SyncSettings
from streams.destinations import configured
from streams.destinations import registry as destinations
from streams.destinations.base import Destination
from streams.emulators import registry as emulators
from streams.emulators.base import Emulator
from streams.sync.rates import Window
from streams.sync.receiver import Step
from tests.streams.sync.support import Bench, make_score, running, until

#: How many customers the storm has; 10,000 is the figure that is claimed.
CUSTOMERS = int(os.environ.get("EBBTIDE_TEST_CUSTOMERS", "300"))
#: Destinations that are no vendor's HTTP interface have tests of their own.
OWN_TESTS = {"webhook", "slack", "kafka"}
KINDS = sorted(set(destinations()) - OWN_TESTS)
#: Those that keep a profile of each customer, and those that are told who enters and leaves.
PROFILES = [kind for kind in KINDS if "upsert" in destinations()[kind].modes]
EVENTS = [kind for kind in KINDS if "event" in destinations()[kind].modes]
TROUBLE = [
    Step("status", 429, "0"),
    Step("status", 500),
    Step("status", 503),
    Step("disconnect"),
    Step("disconnect", accept=True),
    Step("status", 502, accept=True),
    Step("hang"),
]
#: So fast that a test of correctness does not wait; the documented windows have a test of their own.
FAST = (Window(1_000_000, 1.0),)


def storm(seed: int, share: float) -> Callable[[], Step | None]:
    rng = random.Random(seed)
    return lambda: rng.choice(TROUBLE) if rng.random() < share else None


def destination_of(emulator: Emulator, **options: Any) -> Destination[Any]:
    table = emulator.options() | options
    return configured(Settings(destinations={emulator.kind: table}), emulator.environ())[emulator.kind]


def quick(**changes: Any) -> SyncSettings:
    return SyncSettings(**({"timeout_s": 0.5, "retry_base_s": 0.01, "retry_cap_s": 0.05} | changes))


def customer(number: int) -> str:
    return f"c{number}@example.com"


def bad(customer_id: str) -> bool:
    return int(customer_id[1:].partition("@")[0]) % 50 == 7


def expected(destination: Destination[Any], scores: list[Score]) -> dict[str, Any]:
    changes = [destination.change(score) for score in scores]
    return {
        change.id: {
            key: value
            for key, value in change.payload.items()
            if key not in destination.volatile and value not in (None, "")
        }
        for change in changes
    }


async def settled(bench: Bench, count: int) -> None:
    await until(lambda: bench.settled == count, timeout_s=60.0 + CUSTOMERS / 50)


def play(
    kind: str, folder: Path, stories: list[list[Score]], share: float = 0.25, **given: Any
) -> tuple[Emulator, Destination[Any], Bench]:
    """Deliver each list of scores to its end, one after the other."""

    async def run() -> tuple[Emulator, Destination[Any], Bench]:
        made = emulators()[kind](
            misbehave=storm(given.pop("seed", 1), share),
            refuse=given.pop("refuse", lambda _: False),
            windows=given.pop("windows", ()),
            delay_s=given.pop("delay_s", 0.0),
        )
        async with made as emulator:
            rates = given.pop("rates", ("1000000/s",))
            for score in (score for scores in stories for score in scores):
                emulator.add(score.customer_id)
            destination = destination_of(emulator, rates=rates, linger_s=0.05, **given)
            async with running(quick(), folder, destination=destination, released=False) as bench:
                for scores in stories:
                    bench.engine.hold()
                    bench.feed(*scores)
                    bench.engine.release()
                    await settled(bench, bench.offset)
            return emulator, destination, bench

    return asyncio.run(run())


@pytest.mark.parametrize("kind", PROFILES)
def test_state_after_a_storm_is_the_truth(kind: str, tmp_path: Path) -> None:
    """Through 429, 500, time-outs and cut connections the vendor ends with every likely customer, as mapped.

    Every customer that it refuses is a dead letter with the vendor's reason, and apart from the requests that were
    spoilt there are at most 1.2 times as many as full batches need.
    """
    scores = [make_score(customer(number), likely=number % 3 != 0) for number in range(CUSTOMERS)]
    refuses = emulators()[kind].refuses
    refuse = bad if refuses != "none" else lambda _: False
    emulator, destination, bench = play(kind, tmp_path, [scores], refuse=refuse)
    told = [score for score in scores if score.likelihood_to_churn]
    truth = expected(destination, [score for score in told if not refuse(score.customer_id)])
    refused = {score.customer_id for score in told if refuse(score.customer_id)}

    assert emulator.profiles == truth
    assert {letter.customer_id for letter in bench.letters} == refused
    assert all(letter.reason == "refused" and letter.detail for letter in bench.letters)
    assert emulator.unauthorized == 0
    if refuses != "whole":
        assert emulator.malformed == 0
        assert emulator.requests - emulator.troubled <= 1.2 * requests_needed(destination, len(told)) + 1


def requests_needed(destination: Destination[Any], rows: int) -> int:
    return -(-rows // destination.limits.rows)


@pytest.mark.parametrize("kind", PROFILES)
def test_way_of_customers_in_and_out(kind: str, tmp_path: Path) -> None:
    """Customers enter, change band, recover: the vendor has each one's newest state, and hears no row twice."""
    first = [make_score(customer(n), revision=1) for n in range(40)]
    second = [make_score(customer(n), revision=2, band="critical", likely=n % 2 == 0) for n in range(40)]
    emulator, destination, bench = play(kind, tmp_path, [first, second, first], share=0.0)

    assert emulator.profiles == expected(destination, second)
    assert bench.report.outcomes == {"delivered": 80}
    assert bench.report.skips == {"older": 40}


@pytest.mark.parametrize("kind", EVENTS)
def test_events_tell_who_enters_and_leaves(kind: str, tmp_path: Path) -> None:
    """In mode `event` the vendor hears of entering and leaving, once each, and no profile is written."""
    first = [make_score(customer(n), revision=1) for n in range(10)]
    second = [make_score(customer(n), revision=2, band="critical") for n in range(10)]
    third = [make_score(customer(n), revision=3, likely=False) for n in range(10)]
    emulator, _, bench = play(kind, tmp_path, [first, second, third], share=0.0, mode="event")

    assert sorted(event["id"] for event in emulator.events) == sorted([customer(n) for n in range(10)] * 2)
    assert len({event["name"] for event in emulator.events}) == 2
    assert bench.report.outcomes == {"delivered": 20}
    assert emulator.profiles == {}


@pytest.mark.parametrize("kind", EVENTS)
def test_no_event_is_missing_after_a_storm(kind: str, tmp_path: Path) -> None:
    """Through the storm each customer's entering and leaving arrives; who is refused is a dead letter each time."""
    refuse = bad if emulators()[kind].refuses != "none" else lambda _: False
    first = [make_score(customer(n), revision=1) for n in range(60)]
    second = [make_score(customer(n), revision=2, likely=n % 2 == 0) for n in range(60)]
    emulator, _, bench = play(kind, tmp_path, [first, second], mode="event", refuse=refuse)
    names = sorted({event["name"] for event in emulator.events})
    told = {(event["id"], names.index(event["name"])) for event in emulator.events}
    good = [n for n in range(60) if not refuse(customer(n))]

    assert told == {(customer(n), 0) for n in good} | {(customer(n), 1) for n in good if n % 2}
    assert {letter.customer_id for letter in bench.letters} == {customer(n) for n in range(60) if refuse(customer(n))}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "mirror" in destinations()[kind].modes])
def test_mirror_holds_the_likely_ones_alone(kind: str, tmp_path: Path) -> None:
    """In mode `mirror` a customer who recovers is removed, through a storm too."""
    first = [make_score(customer(n), revision=1) for n in range(60)]
    second = [make_score(customer(n), revision=2, likely=n % 2 == 0, band="critical") for n in range(60)]
    emulator, destination, _ = play(kind, tmp_path, [first, second], mode="mirror")

    assert emulator.profiles == expected(destination, second[::2])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if emulators()[kind].windows])
def test_documented_windows_are_kept(kind: str, tmp_path: Path) -> None:
    """Small windows of the vendor's kind are used to the full and never overstepped, so nothing is throttled."""
    scores = [make_score(customer(number)) for number in range(60)]
    windows = (Window(4, 0.2), Window(20, 1.5))
    emulator, _, bench = play(
        kind, tmp_path, [scores], share=0.0, windows=windows, rates=("4/0.2s", "20/1.5s"), batch_rows=3
    )

    assert (emulator.throttled, bench.report.outcomes) == (0, {"delivered": 60})


@pytest.mark.parametrize("kind", [kind for kind in KINDS if emulators()[kind].windows])
def test_vendor_that_throttles_is_waited_for(kind: str, tmp_path: Path) -> None:
    """Where the vendor allows less than we think its 429 is obeyed: few are needed, and everything arrives."""
    scores = [make_score(customer(number)) for number in range(30)]
    emulator, _, bench = play(
        kind, tmp_path, [scores], share=0.0, windows=(Window(5, 1.0),), batch_rows=3, concurrency=2
    )

    # As many windows as are needed, and both parallel requests may meet the end of one.
    assert 0 < emulator.throttled <= 2 * 30 / 5
    assert bench.report.outcomes == {"delivered": 30}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if emulators()[kind].most_at_once])
def test_parallel_requests_are_capped_as_documented(kind: str, tmp_path: Path) -> None:
    """However much parallelism the settings ask for, the vendor never sees more than it allows, and sees that much."""
    scores = [make_score(customer(number)) for number in range(100)]
    emulator, _, bench = play(kind, tmp_path, [scores], share=0.0, concurrency=64, delay_s=0.01)

    assert (emulator.throttled, emulator.crest) == (0, emulator.most_at_once)
    assert bench.report.outcomes == {"delivered": 100}
