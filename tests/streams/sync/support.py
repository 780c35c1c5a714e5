"""What the tests of sync and destinations share: scores, a secret, an engine on a real HTTP server."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from models.records import ModelRef, Reason, Score
from models.settings import BrokerSettings, Settings, SyncSettings
from streams.destinations import configured
from streams.destinations.base import Change, Destination
from streams.destinations.webhook import Webhook
from streams.sync.dead_letters import DeadLetter
from streams.sync.delivery import Engine
from streams.sync.ledger import Ledger
from streams.sync.pending import Origin
from streams.sync.rates import Budget
from streams.sync.report import Metrics, Report
from streams.sync.transports import transport_of
from streams.telemetry import Telemetry

SECRET_KEY = bytes(range(100, 132))
SECRET = "whsec_" + base64.b64encode(SECRET_KEY).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(bytes(range(40))).decode()


def make_score(customer_id: str, *, revision: int = 1, likely: bool = True, band: str = "", **changes: Any) -> Score:
    """A valid score; revisions are a minute apart."""
    fields: dict[str, Any] = {
        "score_id": f"{customer_id[:20]}-{revision}",
        "customer_id": customer_id,
        "probability": 0.5 if likely else 0.05,
        "band": band or ("high" if likely else "low"),
        "likelihood_to_churn": likely,
        "eligible": True,
        "percentile": 90.0,
        "horizon_days": 30.0,
        "label_kind": "cancellation",
        "reasons": (
            Reason(1, "days_since_order", 40.0, 1.25, 12.0, "no order for 40 days"),
            Reason(2, "cancel_intent", None, 0.5),
        ),
        "model": ModelRef("logistic", "v7"),
        "feature_version": "f1",
        "source_offsets": {"purchases/0": 17},
        "as_of": f"2026-03-01T10:{revision // 60 % 60:02d}:{revision % 60:02d}Z",
        "event_watermark": "2026-03-01T09:59:00Z",
        "scored_at": f"2026-03-01T1{revision // 3600}:{revision // 60 % 60:02d}:{revision % 60:02d}Z",
        "revision": revision,
        "features": {"secret_feature": 1.0},
    }
    return Score(**(fields | changes))


class Bench:
    """An engine with its ledger and dead letters; `feed` gives it scores as if read from partition 0."""

    def __init__(
        self, destination: Destination[Any], settings: SyncSettings, ledger: Ledger, send: Any, seed: int,
        budget: Budget | None = None,
    ) -> None:  # fmt: skip
        self.letters: list[DeadLetter] = []
        self.telemetry = Telemetry("sync")
        self.report = Report(Metrics(self.telemetry), destination.name)
        self.ledger = ledger
        self.engine = Engine(
            destination,
            settings,
            ledger,
            self.report,
            send=send,
            bury=self._bury,
            budget=budget,
            rng=random.Random(seed),
        )
        self.offset = 0

    async def _bury(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    def feed(self, *scores: Score) -> None:
        for score in scores:
            self.engine.backlog.offer(score, Origin("scores", 0, self.offset))
            self.offset += 1

    @property
    def settled(self) -> int:
        """The offset that could be committed."""
        return self.engine.backlog.offsets.committable().get(("scores", 0), 0)


def webhook_of(sync: SyncSettings) -> Webhook:
    """The webhook that `sync.webhook_url` configures."""
    made = configured(Settings(sync=sync), {})["webhook"]

    assert isinstance(made, Webhook)

    return made


def change_of(score: Score, kind: Any = "entered", destination: Destination[Any] | None = None) -> Change:
    """The score as a change for a destination, by default a webhook."""
    return (destination or webhook_of(sync_settings("https://hooks.example.com"))).change(score, kind)


def sync_settings(url: str, **changes: Any) -> SyncSettings:
    """Settings for a receiver on this machine, with short waits."""
    fields: dict[str, Any] = {
        "webhook_url": url,
        "webhook_secret": SECRET,
        "webhook_allow_private": True,
        "timeout_s": 5.0,
        "retry_base_s": 0.01,
        "retry_cap_s": 0.05,
    }
    return SyncSettings(**(fields | changes))


@asynccontextmanager
async def running(
    settings: SyncSettings, folder: Path, *, seed: int = 1, released: bool = True,
    destination: Destination[Any] | None = None, budget: Budget | None = None,
) -> AsyncIterator[Bench]:  # fmt: skip
    """An engine that delivers by real HTTP until the block ends, by default to `settings.webhook_url`."""
    destination = destination or webhook_of(settings)
    settings = destination.options.over(settings)
    with Ledger(folder / f"{destination.name}.sqlite", destination.identity) as ledger:
        async with transport_of(destination, BrokerSettings(), settings) as transport:
            bench = Bench(destination, settings, ledger, transport.send, seed, budget)
            task = asyncio.create_task(bench.engine.run())
            if released:
                bench.engine.release()
            try:
                yield bench
            finally:
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled() and (error := task.exception()) is not None:
                    raise error


async def until(condition: Any, timeout_s: float = 15.0) -> None:
    """Let the event loop run until a condition holds; fails after `timeout_s`."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)
