"""The delivery engine against a real HTTP server that misbehaves."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from models.records import Score
from streams.destinations.contract.messages import Reply, Request
from streams.sync.dead_letters import BuryFailed, DeadLetter
from streams.sync.http import SendFailed
from streams.sync.pending import Origin
from streams.sync.receiver import Step, WebhookReceiver
from tests.streams.sync.support import OTHER_SECRET, SECRET, Bench, make_score, running, sync_settings, until


def deliver(
    folder: Path, misbehave: Any, script: Callable[[Bench, WebhookReceiver], Awaitable[None]], **changes: Any
) -> tuple[Bench, WebhookReceiver]:
    """Run a script with an engine and a receiver, both on real HTTP."""

    async def play() -> tuple[Bench, WebhookReceiver]:
        async with (
            WebhookReceiver(SECRET, misbehave) as receiver,
            running(sync_settings(receiver.url, **changes), folder) as bench,
        ):
            await script(bench, receiver)
        return bench, receiver

    return asyncio.run(play())


async def one_to_the_end(bench: Bench, _receiver: WebhookReceiver) -> None:
    bench.feed(make_score("ada"))
    await until(lambda: bench.settled == 1)


def test_score_is_delivered_once(tmp_path: Path) -> None:
    """A likely customer's score arrives signed, is settled, remembered and counted."""
    bench, receiver = deliver(tmp_path, (), one_to_the_end)

    assert [(message.id, message.type) for message in receiver.accepted] == [("msg_ada-1", "churn.customer.at_risk")]
    assert receiver.requests == 1
    assert bench.report.outcomes == {"delivered": 1}


@pytest.mark.parametrize(
    "step",
    [
        Step("status", 500),
        Step("status", 503, "0"),
        Step("status", 408),
        Step("status", 423),
        Step("status", 425),
        Step("status", 429, "0"),
        Step("status", 429),
        Step("disconnect"),
        Step("garbage"),
        Step("redirect"),
        Step("hang"),
        Step("status", 500, accept=True),
        Step("disconnect", accept=True),
        Step("hang", accept=True),
    ],
    ids=lambda step: f"{step.kind}-{step.status}{'-accepted' if step.accept else ''}",
)
def test_passing_trouble_costs_only_time(tmp_path: Path, step: Step) -> None:
    """After any passing failure the same message arrives under the same id, and a redirect is never followed."""
    bench, receiver = deliver(tmp_path, [step, step], one_to_the_end, timeout_s=0.2)

    assert [message.id for message in receiver.accepted] == ["msg_ada-1"]
    assert receiver.requests == 3
    assert receiver.elsewhere == 0
    assert (bench.letters, bench.report.outcomes) == ([], {"delivered": 1})


def test_slow_body_is_a_success(tmp_path: Path) -> None:
    """An endpoint whose 200 never ends its body has accepted the message; it is not sent again."""
    _, receiver = deliver(tmp_path, [Step("slow_body")], one_to_the_end, timeout_s=0.2)

    assert (receiver.requests, receiver.accepted_total) == (1, 1)


@pytest.mark.parametrize(
    ("status", "reason"), [(400, "refused"), (404, "refused"), (422, "refused"), (501, "refused"), (413, "too_large")]
)
def test_refusal_becomes_a_dead_letter(tmp_path: Path, status: int, reason: str) -> None:
    """A refused score is tried once, kept as a dead letter with its reason, and the next customer goes on."""

    async def script(bench: Bench, _receiver: WebhookReceiver) -> None:
        bench.feed(make_score("ada"), make_score("bob"))
        await until(lambda: bench.settled == 2)

    bench, receiver = deliver(
        tmp_path, lambda m: Step("status", status) if m["data"]["customer_id"] == "ada" else None, script
    )
    (letter,) = bench.letters

    assert [message.data["customer_id"] for message in receiver.accepted] == ["bob"]
    assert receiver.requests == 2
    assert (letter.customer_id, letter.score_id, letter.reason, letter.status) == ("ada", "ada-1", reason, status)
    assert letter.detail == f"planned answer {status}"
    assert letter.payload is not None
    assert letter.payload["probability"] == 0.5
    assert SECRET not in repr(letter)


def test_unbuildable_score_becomes_a_dead_letter(tmp_path: Path) -> None:
    """A message over the size limit is never sent."""

    async def script(bench: Bench, _receiver: WebhookReceiver) -> None:
        bench.feed(make_score("c" * 30_000))
        await until(lambda: bench.settled == 1)

    bench, receiver = deliver(tmp_path, (), script)

    assert receiver.requests == 0
    assert [(letter.reason, letter.attempts, letter.status) for letter in bench.letters] == [("too_large", 0, None)]


def test_dead_letter_is_safe_before_its_record_is_settled(tmp_path: Path) -> None:
    """While the dead letter cannot be written its record stays open, and the endpoint is not asked again."""
    failures = iter(range(3))

    async def script(bench: Bench, _receiver: WebhookReceiver) -> None:
        settled_at: list[int] = []

        async def stubborn(letter: DeadLetter) -> None:
            settled_at.append(bench.settled)
            if next(failures, None) is not None:
                raise BuryFailed("no broker")
            bench.letters.append(letter)

        bench.engine._endings._bury = stubborn
        await one_to_the_end(bench, _receiver)

        assert settled_at == [0, 0, 0, 0]

    bench, receiver = deliver(tmp_path, [Step("status", 400)], script)

    assert (len(bench.letters), receiver.requests) == (1, 1)


def test_score_past_its_age_is_given_up(tmp_path: Path) -> None:
    """A score that still fails when its budget of age is used up becomes a dead letter, not before."""
    bench, receiver = deliver(
        tmp_path, lambda _: Step("status", 500), one_to_the_end, give_up_after_s=0.3, retry_cap_s=0.02
    )
    (letter,) = bench.letters

    assert (letter.reason, letter.status) == ("gave_up", 500)
    assert letter.attempts == receiver.requests > 3


def test_age_counts_from_the_first_attempt_over_restarts(tmp_path: Path) -> None:
    """A restart does not renew the budget: the ledger knows when the first attempt was."""
    slow = {"retry_base_s": 1000.0, "retry_cap_s": 1000.0}

    async def play() -> Bench:
        async with WebhookReceiver(SECRET, lambda _: Step("status", 500)) as receiver:
            async with running(sync_settings(receiver.url, **slow), tmp_path) as bench:
                bench.feed(make_score("ada"))
                await until(lambda: receiver.requests == 1 and bench.engine.backlog.flying == 0)
            async with running(sync_settings(receiver.url, give_up_after_s=1e-6, **slow), tmp_path) as bench:
                await one_to_the_end(bench, receiver)
            return bench

    bench = asyncio.run(play())

    assert [(letter.reason, letter.attempts) for letter in bench.letters] == [("gave_up", 2)]


def test_newest_score_wins(tmp_path: Path) -> None:
    """Scores that were replaced before their turn are settled unsent; the newest one is sent."""

    async def script(bench: Bench, _receiver: WebhookReceiver) -> None:
        bench.feed(*(make_score("ada", revision=revision) for revision in range(1, 6)))
        bench.engine.release()
        await until(lambda: bench.settled == 5)

    bench, receiver = deliver(tmp_path, (), lambda b, r: held(b, r, script))

    assert [message.id for message in receiver.accepted] == ["msg_ada-5"]
    assert bench.report.outcomes == {"superseded": 4, "delivered": 1}


async def held(bench: Bench, receiver: WebhookReceiver, script: Callable[..., Awaitable[None]]) -> None:
    bench.engine.hold()
    await script(bench, receiver)


def test_recovery_before_delivery_sends_nothing(tmp_path: Path) -> None:
    """A customer who recovered before the destination was told is no news at all."""

    async def script(bench: Bench, _receiver: WebhookReceiver) -> None:
        bench.feed(make_score("ada"), make_score("ada", revision=2, likely=False))
        bench.engine.release()
        await until(lambda: bench.settled == 2)

    bench, receiver = deliver(tmp_path, (), lambda b, r: held(b, r, script))

    assert receiver.requests == 0
    assert (bench.report.outcomes, bench.report.skips) == ({"superseded": 1}, {"unlikely": 1})


def test_score_behind_a_lost_answer_is_put_right(tmp_path: Path) -> None:
    """If the first message may have arrived, the recovery that replaces it is sent."""

    async def script(bench: Bench, receiver: WebhookReceiver) -> None:
        bench.feed(make_score("ada"))
        await until(lambda: receiver.requests == 1)
        bench.feed(make_score("ada", revision=2, likely=False))
        await until(lambda: bench.settled == 2)

    bench, receiver = deliver(tmp_path, [Step("hang", accept=True)], script, timeout_s=0.2)

    assert [message.type for message in receiver.accepted] == ["churn.customer.at_risk", "churn.customer.recovered"]
    assert bench.report.outcomes == {"superseded": 1, "delivered": 1}


def test_score_behind_a_refused_connection_needs_no_correction(tmp_path: Path) -> None:
    """If the first message certainly did not arrive, a recovery is no news."""

    async def play() -> Bench:
        async with WebhookReceiver(SECRET) as gone:
            url = gone.url
        async with running(sync_settings(url, retry_base_s=1000.0, retry_cap_s=1000.0), tmp_path) as bench:
            bench.feed(make_score("ada"))
            await until(lambda: bench.report.verdicts["transient"] == 1 and bench.engine.backlog.flying == 0)
            bench.feed(make_score("ada", revision=2, likely=False))

            assert bench.settled == 2

            return bench

    assert asyncio.run(play()).report.skips == {"unlikely": 1}


def test_way_of_a_customer(tmp_path: Path) -> None:
    """A destination hears of entering, a new band and leaving, and of nothing in between."""
    story = [
        make_score("ada", revision=1, likely=False),
        make_score("ada", revision=2),
        make_score("ada", revision=3, probability=0.55),
        make_score("ada", revision=4, band="critical"),
        make_score("ada", revision=5, likely=False, band="left"),
        make_score("ada", revision=6, likely=False),
    ]

    async def script(bench: Bench, _receiver: WebhookReceiver) -> None:
        for number, score in enumerate(story, 1):
            bench.feed(score)
            await until(lambda number=number: bench.settled == number)

    _, receiver = deliver(tmp_path, (), script)

    assert [(message.data["revision"], message.type) for message in receiver.accepted] == [
        (2, "churn.customer.at_risk"),
        (4, "churn.score.updated"),
        (5, "churn.customer.left"),
    ]


class Gate:
    """Holds the first request back until it is opened, then lets `outcome` happen."""

    def __init__(self, bench: Bench, failure: Exception | None = None) -> None:
        self.waiting, self.open = asyncio.Event(), asyncio.Event()
        self._failure, self._send = failure, bench.engine._send
        bench.engine._send = self

    async def __call__(self, request: Request) -> Reply:
        first = not self.waiting.is_set()
        self.waiting.set()
        await self.open.wait()
        if first and self._failure is not None:
            raise self._failure
        return await self._send(request)


@pytest.mark.parametrize(
    ("newer", "types"),
    [
        (make_score("ada", revision=2, band="critical"), ["churn.customer.at_risk", "churn.score.updated"]),
        (make_score("ada", revision=2, likely=False), ["churn.customer.at_risk", "churn.customer.recovered"]),
        (make_score("ada", revision=2), ["churn.customer.at_risk"]),
    ],
    ids=["another band", "recovered", "no news"],
)
def test_score_behind_a_delivered_one_is_judged_by_it(tmp_path: Path, newer: Score, types: list[str]) -> None:
    """A score that came while another was under way is compared with what then was accepted."""

    async def script(bench: Bench, _receiver: WebhookReceiver) -> None:
        gate = Gate(bench)
        bench.feed(make_score("ada"))
        await gate.waiting.wait()
        bench.feed(newer)
        gate.open.set()
        await until(lambda: bench.settled == 2)

    _, receiver = deliver(tmp_path, (), script)

    assert [message.type for message in receiver.accepted] == types


def test_replaced_score_past_its_age_is_not_buried(tmp_path: Path) -> None:
    """If a newer score waits behind one that fails for the last time, nothing is given up."""

    async def script(bench: Bench, _receiver: WebhookReceiver) -> None:
        gate = Gate(bench, SendFailed("timeout", reached=True))
        bench.feed(make_score("ada"))
        await gate.waiting.wait()
        bench.feed(make_score("ada", revision=2))
        gate.open.set()
        await until(lambda: bench.settled == 2)

    bench, receiver = deliver(tmp_path, (), script, give_up_after_s=1e-9)

    assert (bench.letters, bench.report.outcomes) == ([], {"superseded": 1, "delivered": 1})
    assert [message.data["revision"] for message in receiver.accepted] == [2]


def test_all_are_due_when_the_destination_is_back(tmp_path: Path) -> None:
    """What waits for a later time is sent at once when a probe finds the destination back."""

    async def script(bench: Bench, _receiver: WebhookReceiver) -> None:
        bench.feed(*(make_score(f"c{number}") for number in range(12)))
        await until(lambda: bench.settled == 12)

    bench, receiver = deliver(tmp_path, [Step("status", 408, "1000")] * 10, script, concurrency=1)

    assert (receiver.accepted_total, bench.report.verdicts) == (12, {"transient": 10, "ok": 12})


def test_lost_partitions_take_their_scores_along(tmp_path: Path) -> None:
    """Scores of a partition that was taken away are not sent, those of others are, and the next owner starts anew."""

    async def script(bench: Bench, _receiver: WebhookReceiver) -> None:
        backlog = bench.engine.backlog
        bench.engine.hold()
        for partition in (0, 1):
            backlog.offer(make_score(f"c{partition}"), Origin("scores", partition, 5))
        backlog.drop({("scores", 0)})

        assert (len(backlog), backlog.offsets.committable()) == (1, {("scores", 1): 5})

        bench.engine.release()
        await until(lambda: backlog.offsets.committable() == {("scores", 1): 6})
        backlog.offer(make_score("c0"), Origin("scores", 0, 3))
        await until(lambda: backlog.offsets.committable() == {("scores", 0): 4, ("scores", 1): 6})

    _, receiver = deliver(tmp_path, (), script)

    assert [message.data["customer_id"] for message in receiver.accepted] == ["c1", "c0"]


def test_score_behind_one_under_way_goes_with_its_partition(tmp_path: Path) -> None:
    """A score that waits behind one under way is dropped too when its partition is taken away."""

    async def script(bench: Bench, _receiver: WebhookReceiver) -> None:
        gate = Gate(bench)
        bench.feed(make_score("ada"))
        await gate.waiting.wait()
        bench.feed(make_score("ada", revision=2, band="critical"))
        bench.engine.backlog.drop({("scores", 0)})
        gate.open.set()
        await until(lambda: bench.report.outcomes["delivered"] == 1)

        assert (len(bench.engine.backlog), bench.settled) == (0, 0)

    _, receiver = deliver(tmp_path, (), script)

    assert receiver.requests == 1


def test_throttling_silences_the_whole_destination(tmp_path: Path) -> None:
    """After a 429 nothing is sent to the destination until the time that it named has passed."""

    async def script(bench: Bench, receiver: WebhookReceiver) -> None:
        bench.feed(*(make_score(f"c{number}") for number in range(20)))
        await until(lambda: receiver.requests == 1)
        await until(lambda: bench.settled == 20)

    bench, receiver = deliver(tmp_path, [Step("status", 429, "1")], script, concurrency=1)
    times = [message.received_at for message in receiver.accepted]

    assert receiver.requests == 21
    assert bench.report.verdicts == {"throttle": 1, "ok": 20}
    assert max(times) - min(times) < 1.0


def test_credentials_refused_keep_everything(tmp_path: Path) -> None:
    """A 401 opens the breaker at once; nothing is lost, single probes go on, and success opens the gates."""

    async def script(bench: Bench, receiver: WebhookReceiver) -> None:
        verify_with = receiver._secret
        receiver._secret = OTHER_SECRET
        bench.feed(*(make_score(f"c{number}") for number in range(30)))
        await until(lambda: receiver.requests >= 8)

        assert bench.settled == 0
        assert bench.engine.breaker.state in {"open", "half_open"}
        assert bench.engine.breaker.reason == "auth"
        assert len(bench.engine.backlog) == 30

        receiver._secret = verify_with
        await until(lambda: bench.settled == 30)

    bench, receiver = deliver(tmp_path, (), script, concurrency=4, give_up_after_s=0.001)

    assert (receiver.accepted_total, receiver.duplicates, bench.letters) == (30, 0, [])
    assert bench.engine.breaker.state == "closed"


def test_gone_endpoint_is_called_no_more(tmp_path: Path) -> None:
    """After a 410 not one request is sent, and everything is kept for the next start."""

    async def script(bench: Bench, receiver: WebhookReceiver) -> None:
        bench.feed(*(make_score(f"c{number}") for number in range(10)))
        await until(lambda: bench.engine.breaker.state == "disabled" and bench.engine.backlog.flying == 0)
        bench.feed(make_score("late"))
        await asyncio.sleep(0.1)

        assert (bench.settled, len(bench.engine.backlog), receiver.requests) == (0, 11, 1)

    bench, _ = deliver(tmp_path, lambda _: Step("status", 410), script, concurrency=1)

    assert bench.letters == []


def test_forbidden_address_keeps_everything(tmp_path: Path) -> None:
    """An address inside the own network is never connected to, and its scores are neither lost nor buried."""

    async def play() -> Bench:
        async with WebhookReceiver(SECRET) as receiver:
            url = receiver.url.replace("http://", "https://")
            async with running(sync_settings(url, webhook_allow_private=False), tmp_path) as bench:
                bench.feed(make_score("ada"))
                await until(lambda: bench.engine.breaker.state == "open")

                assert (bench.settled, bench.letters, receiver.requests) == (0, [], 0)

                return bench

    assert asyncio.run(play()).engine.breaker.reason == "auth"


def test_dead_endpoint_loses_nothing_and_recovers(tmp_path: Path) -> None:
    """While nothing listens the breaker probes with one request at a time; when the endpoint is back all arrive."""

    async def play() -> tuple[Bench, WebhookReceiver, int]:
        async with WebhookReceiver(SECRET) as first:
            url = first.url
        port = int(url.split(":")[2].split("/")[0])
        settings = sync_settings(url, retry_base_s=0.05, retry_cap_s=0.2)
        async with running(settings, tmp_path) as bench:
            bench.feed(*(make_score(f"c{number}") for number in range(200)))
            await until(lambda: bench.engine.breaker.reason == "down" and bench.report.verdicts["transient"] >= 30)
            attempts = bench.report.verdicts["transient"]

            assert (bench.settled, len(bench.engine.backlog)) == (0, 200)

            async with WebhookReceiver(SECRET, port=port) as back:
                await until(lambda: bench.settled == 200)
            return bench, back, attempts

    bench, receiver, attempts = asyncio.run(play())

    assert (receiver.accepted_total, receiver.duplicates) == (200, 0)
    assert attempts < 200
    assert bench.report.outcomes == {"delivered": 200}


def test_requests_in_parallel_are_bounded(tmp_path: Path) -> None:
    """Never more requests are under way than the settings allow, and never two for one customer."""
    seen: list[int] = []

    async def script(bench: Bench, _receiver: WebhookReceiver) -> None:
        exchange = bench.engine._send
        under_way: Counter[str] = Counter()

        async def watched(request: Request) -> Reply:
            under_way[request.idempotency_id.rpartition("-")[0]] += 1
            seen.append(under_way.total())

            assert max(under_way.values()) == 1

            try:
                return await exchange(request)
            finally:
                under_way[request.idempotency_id.rpartition("-")[0]] -= 1

        bench.engine._send = watched
        for revision in range(1, 4):
            band = ("high", "critical")[revision % 2]
            bench.feed(*(make_score(f"c{number}", revision=revision, band=band) for number in range(40)))
            await until(lambda: bench.report.outcomes["delivered"] >= 20)
        await until(lambda: bench.settled == 120)

    deliver(tmp_path, (), script, concurrency=5)

    assert max(seen) == 5


def test_restart_sends_nothing_twice(tmp_path: Path) -> None:
    """Records read again after a restart are found in the ledger and not sent again."""
    scores = [make_score(f"c{number}") for number in range(50)]

    async def play() -> tuple[WebhookReceiver, Bench]:
        async with WebhookReceiver(SECRET) as receiver:
            for _ in range(3):
                async with running(sync_settings(receiver.url), tmp_path) as bench:
                    bench.feed(*scores)
                    await until(lambda bench=bench: bench.settled == 50)
            return receiver, bench

    receiver, bench = asyncio.run(play())

    assert (receiver.requests, receiver.accepted_total) == (50, 50)
    assert bench.report.skips == {"repeated": 50}


def test_refused_score_stays_dead_over_a_restart(tmp_path: Path) -> None:
    """A dead letter is written once, although its record is read again."""

    async def play() -> tuple[int, int]:
        letters = 0
        async with WebhookReceiver(SECRET, lambda _: Step("status", 422)) as receiver:
            for _ in range(2):
                async with running(sync_settings(receiver.url), tmp_path) as bench:
                    await one_to_the_end(bench, receiver)
                    letters += len(bench.letters)
            return letters, receiver.requests

    assert asyncio.run(play()) == (1, 1)


def test_deleted_customer_is_forgotten_everywhere(tmp_path: Path) -> None:
    """A deletion removes what waits, what is under way and what the ledger knows."""

    async def script(bench: Bench, receiver: WebhookReceiver) -> None:
        await one_to_the_end(bench, receiver)
        bench.feed(make_score("ada", revision=2, band="critical"), make_score("bob"))
        await until(lambda: receiver.requests == 3)
        for customer_id in ("ada", "bob"):
            bench.engine.backlog.forget(customer_id, Origin("scores", 0, bench.offset))
            bench.offset += 1
        await until(lambda: bench.settled == 5)

        assert (bench.ledger.accepted("ada"), bench.ledger.attempt("bob")) == (None, None)

    bench, _ = deliver(tmp_path, [Step(), Step("hang"), Step("hang")], script, timeout_s=0.2)

    assert bench.report.outcomes == {"delivered": 1, "forgotten": 2}


def test_fault_in_an_attempt_ends_the_engine(tmp_path: Path) -> None:
    """A ledger that cannot be written stops everything instead of sending without memory."""

    async def script(bench: Bench, _receiver: WebhookReceiver) -> None:
        bench.ledger._db.execute("DROP TABLE attempts")
        bench.ledger._db.execute("CREATE TABLE attempts (customer_id, score_id)")
        bench.feed(make_score("ada"))
        await asyncio.sleep(0.1)

    with pytest.raises(ExceptionGroup) as failure:
        deliver(tmp_path, (), script)

    assert "attempts" in str(failure.value.exceptions[0])


@pytest.mark.parametrize("ticks", range(6))
def test_engine_ends_although_work_comes_with_the_cancellation(tmp_path: Path, ticks: int) -> None:
    """A cancellation is obeyed, whatever event arrives in the same moment."""

    async def play() -> bool:
        settings = sync_settings("http://127.0.0.1:9/")
        async with running(settings, tmp_path) as bench:
            task = asyncio.create_task(bench.engine.run())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            bench.engine.release()
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=5.0)
            return task in done

    assert asyncio.run(play())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_storm_delivers_every_customer_exactly_once(tmp_path: Path, seed: int) -> None:
    """Through a storm of every kind of failure each likely customer arrives once by id, each refusal is kept."""
    rng = random.Random(seed)
    trouble = [
        Step("status", 429, "0"),
        Step("status", 500),
        Step("status", 503),
        Step("disconnect"),
        Step("disconnect", accept=True),
        Step("hang"),
        Step("garbage"),
        Step("redirect"),
        Step("status", 502, accept=True),
    ]

    def misbehave(message: dict[str, Any]) -> Step | None:
        if int(message["data"]["customer_id"][1:]) % 10 == 3:
            return Step("status", 422)
        return rng.choice(trouble) if rng.random() < 0.5 else None

    async def script(bench: Bench, _receiver: WebhookReceiver) -> None:
        bench.feed(*(make_score(f"c{number}", likely=number % 5 != 0) for number in range(150)))
        await until(lambda: bench.settled == 150)

    bench, receiver = deliver(tmp_path, misbehave, script, timeout_s=0.15, retry_cap_s=0.02, concurrency=16)
    likely = {f"c{number}" for number in range(150) if number % 5 != 0}
    refused = {f"c{number}" for number in range(150) if number % 10 == 3}

    assert Counter(message.data["customer_id"] for message in receiver.accepted) == Counter(likely - refused)
    assert Counter(letter.customer_id for letter in bench.letters) == Counter(refused)
    assert {letter.reason for letter in bench.letters} == {"refused"}
    assert receiver.elsewhere == receiver.invalid == 0
    assert len(bench.engine.backlog) == 0


def test_metrics_and_logs_hold_no_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Outcomes are counted by bounded labels; neither metrics, status nor logs show the secret."""
    with caplog.at_level("DEBUG"):
        bench, _ = deliver(tmp_path, [Step("status", 401), Step("status", 500)], one_to_the_end)
    state = bench.report.state(0, 0.0, "closed", "")
    shown = bench.telemetry.exposition().decode()

    assert 'ebbtide_deliveries_total{destination="webhook",outcome="delivered"} 1.0' in shown
    assert 'ebbtide_delivery_attempts_total{destination="webhook",verdict="auth"} 1.0' in shown
    assert 'ebbtide_delivery_seconds_count{destination="webhook"} 3.0' in shown
    assert state["deliveries"] == {"delivered": 1}
    assert "destination refuses us" in caplog.text
    assert SECRET.removeprefix("whsec_") not in shown + caplog.text + repr(state) + repr(bench.engine.__dict__)
