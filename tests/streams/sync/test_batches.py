"""Batches in the engine: full ones, split ones, halved ones, shared budgets, and who is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.records import Score
from models.settings import Settings
from streams.destinations import configured
from streams.destinations.contract.consent import AddressedScore
from streams.emulators.base import Answer, Call
from streams.emulators.braze import BrazeEmulator
from streams.emulators.rudderstack import RudderStackEmulator
from streams.sync.rates import Budget, Window
from tests.streams.sync.support import Bench, make_score, running, until
from tests.streams.sync.test_matrix import destination_of, quick


class Recording(RudderStackEmulator):
    """Remembers how many customers each request had, and whether it was taken. Refuses a request with a bad one."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.sizes: list[tuple[int, int]] = []

    def answer(self, call: Call) -> Answer:
        users = {message.get("userId") for message in call.json["batch"]}
        answer = Answer(400, "invalid json") if any(map(self.refuse, users)) else super().answer(call)
        self.sizes.append((len(users), answer.status))
        return answer


def deliver(
    emulator: Any, folder: Path, script: Callable[[Bench], Awaitable[None]], **options: Any
) -> tuple[Any, Bench]:
    async def play() -> tuple[Any, Bench]:
        async with emulator:
            destination = destination_of(emulator, **({"linger_s": 0.05} | options))
            async with running(quick(), folder, destination=destination) as bench:
                await script(bench)
            return emulator, bench

    return asyncio.run(play())


def feeding(*scores: Score) -> Callable[[Bench], Awaitable[None]]:
    async def script(bench: Bench) -> None:
        bench.feed(*scores)
        await until(lambda: bench.settled == len(scores))

    return script


def test_one_bad_row_is_found_by_halving(tmp_path: Path) -> None:
    """A request that is refused as a whole is halved until the bad row stands alone; only that one is lost."""
    scores = [make_score(f"c{number}") for number in range(64)]
    emulator, bench = deliver(
        Recording(refuse=lambda who: who == "c37"), tmp_path, feeding(*scores), concurrency=1, linger_s=0.2
    )

    assert [(letter.customer_id, letter.reason, letter.status) for letter in bench.letters] == [("c37", "refused", 400)]
    assert set(emulator.profiles) == {f"c{number}" for number in range(64)} - {"c37"}
    assert [size for size, status in emulator.sizes if status == 400] == [64, 32, 16, 8, 4, 2, 1]
    assert len(emulator.sizes) == 13


def test_too_large_requests_teach_the_size(tmp_path: Path) -> None:
    """After a 413 requests are smaller from the start, so that it is not provoked again and again."""
    emulator = Recording()
    emulator.batch_bytes = 20_000  # type: ignore[misc] # a class attribute, for this one
    scores = [make_score(f"c{number}") for number in range(400)]
    emulator, bench = deliver(emulator, tmp_path, feeding(*scores), concurrency=1)
    statuses = [status for _, status in emulator.sizes]

    assert (len(emulator.profiles), bench.letters) == (400, [])
    assert 0 < statuses.count(413) <= 6
    assert statuses[-5:] == [200] * 5


def test_bytes_of_a_request_are_capped(tmp_path: Path) -> None:
    """Requests are filled to the allowed bytes, never above."""
    emulator = Recording()
    emulator.batch_bytes = 20_000  # type: ignore[misc] # a class attribute, for this one
    scores = [make_score(f"c{number}") for number in range(400)]
    emulator, _ = deliver(emulator, tmp_path, feeding(*scores), batch_bytes=20_000)
    sizes = [size for size, _ in emulator.sizes]

    assert {status for _, status in emulator.sizes} == {200}
    assert sum(sizes) == 400
    assert min(sorted(sizes)[1:]) > 0.8 * max(sizes)


def test_trickle_is_gathered(tmp_path: Path) -> None:
    """Scores that come one by one wait for each other, up to the time that the settings name."""

    async def script(bench: Bench) -> None:
        for number in range(20):
            bench.feed(make_score(f"c{number}"))
            await asyncio.sleep(0.001)
        await until(lambda: bench.settled == 20)

    emulator, _ = deliver(Recording(), tmp_path, script, linger_s=0.5)

    assert [size for size, _ in emulator.sizes] == [20]


def test_two_customers_with_one_id_go_apart(tmp_path: Path) -> None:
    """Where the mapped id of two customers is the same, they are not in one request, as some vendors demand."""
    scores = [make_score("Ada@x.example"), make_score("ada@x.example"), make_score("bob@x.example")]
    emulator, bench = deliver(Recording(), tmp_path, feeding(*scores), identifier="customer_id | lower", concurrency=1)

    assert [size for size, _ in emulator.sizes] == [2, 1]
    assert bench.report.outcomes == {"delivered": 3}


def test_unknown_customers_are_left_out(tmp_path: Path) -> None:
    """Anonymous customers, and those without the id that the settings ask for, are no news to a profile store."""
    scores = [make_score("anonymous:7"), make_score("ada")]
    emulator, bench = deliver(BrazeEmulator(), tmp_path, feeding(*scores))

    assert set(emulator.profiles) == {"ada"}
    assert bench.report.skips == {"no_id": 1}


def agreed(customer: str, *, revision: int = 1, **given: dict[str, bool]) -> AddressedScore:
    return msgspec.convert(msgspec.to_builtins(make_score(customer, revision=revision)) | given, AddressedScore)


@pytest.mark.parametrize(("mode", "left"), [("upsert", {"ada", "bob"}), ("mirror", {"bob"})])
def test_withdrawn_consent_ends_everything(tmp_path: Path, mode: str, left: set[str]) -> None:
    """Who never agreed is never sent; who withdraws is told about no more, and leaves a mirror."""

    async def script(bench: Bench) -> None:
        bench.feed(agreed("ada"), agreed("bob"), agreed("eve", integrations={"All": False}))
        await until(lambda: bench.settled == 3)
        bench.feed(agreed("ada", revision=2, integrations={"Braze": False}))
        await until(lambda: bench.settled == 4)
        bench.feed(agreed("ada", revision=3, integrations={"Braze": False}))
        await until(lambda: bench.settled == 5)

    emulator, bench = deliver(BrazeEmulator(), tmp_path, script, mode=mode)

    assert set(emulator.profiles) == left
    assert bench.report.skips["no_consent"] == (3 if mode == "upsert" else 2)


def test_full_mode_sends_every_score(tmp_path: Path) -> None:
    """In mode `full` a score that changes nothing is sent too."""

    async def script(bench: Bench) -> None:
        for revision in (1, 2, 3):
            bench.feed(make_score("ada", revision=revision))
            await until(lambda revision=revision: bench.settled == revision)

    _, bench = deliver(BrazeEmulator(), tmp_path, script, mode="full")

    assert bench.report.outcomes == {"delivered": 3}


def test_two_destinations_with_one_key_share_its_limits(tmp_path: Path) -> None:
    """What a vendor allows a key is shared by all that use it, so that they are not throttled together."""
    windows = (Window(5, 0.3),)

    async def play() -> BrazeEmulator:
        async with BrazeEmulator(windows=windows) as emulator:
            table = emulator.options() | {"rates": "5/0.3s", "batch_rows": 2, "linger_s": 0.05}
            both = configured(
                Settings(destinations={"one": table, "two": table | {"mode": "event"}}), emulator.environ()
            )
            budget = Budget(both["one"].limits.windows, 100)

            assert both["one"].credential == both["two"].credential

            async with (
                running(quick(), tmp_path, destination=both["one"], budget=budget) as first,
                running(quick(), tmp_path, destination=both["two"], budget=budget) as second,
            ):
                for bench in (first, second):
                    bench.feed(*(make_score(f"c{number}") for number in range(20)))
                await until(lambda: first.settled == second.settled == 20)
            return emulator

    emulator = asyncio.run(play())

    assert (emulator.throttled, len(emulator.profiles), len(emulator.events)) == (0, 20, 20)


def test_rows_beside_a_success_are_judged_one_by_one(tmp_path: Path) -> None:
    """Of a request that went through, the rows that the vendor names are dead letters with its own words."""
    scores = [make_score(f"c{number}") for number in range(10)]
    emulator, bench = deliver(BrazeEmulator(refuse=lambda who: who in {"c2", "c5"}), tmp_path, feeding(*scores))

    assert emulator.requests == 1
    assert {(letter.customer_id, letter.detail) for letter in bench.letters} == {
        ("c2", "the user is blocked"),
        ("c5", "the user is blocked"),
    }
