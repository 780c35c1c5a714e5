"""A Faust app on the chunked transport, and running it inside a process of our own."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, cast

import faust
from faust.types import TP
from yarl import URL

from models.settings import Settings
from streams.chunks.consumer import ChunkConsumer, ChunkTransport

#: The versions whose private parts the transport overrides. Others are refused at start.
TESTED_VERSIONS = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0", "mode-streaming": "0.7.1"}

_STOP_WITHIN_S = 30.0
_IN_TOUCH_S = 10.0

BeforeRevoke = Callable[[set[TP]], Awaitable[None]]


class UntestedVersionError(RuntimeError):
    """An installed library is not the version whose internals were patched and tested."""


class ChunkSchema(faust.Schema[Any, Any]):
    """Passes the chunk through: decoding is the agent's job, so that it can be total."""

    def compile(self, app: Any, **_: Any) -> Any:
        """Return Faust's decode coroutine for one message."""

        async def decode(message: Any, **_propagate: bool) -> Any:
            return app.create_event(None, message.value, message.headers, message)

        return decode


class ChunkApp(faust.App):
    """A `faust.App` that knows the settings and settles work before partitions are taken away."""

    ebbtide_settings: Settings
    _before_revoke: BeforeRevoke | None = None

    def on_revoke(self, callback: BeforeRevoke) -> None:
        """Set what must be awaited before a revocation: finish or drop all chunks in flight."""
        self._before_revoke = callback

    def lag(self) -> dict[TP, int]:
        """Records not yet settled, by assigned partition; empty before the consumer has started."""
        return cast("ChunkConsumer", self.consumer).lag()

    def quiet(self, topic: str, partition: int, since: float) -> bool:
        """Whether the broker said at or after `since` (epoch seconds) that a partition holds nothing new."""
        return cast("ChunkConsumer", self.consumer).quiet(TP(topic, partition), since)

    def in_touch(self, within_s: float = _IN_TOUCH_S) -> bool:
        """Whether the broker answered a fetch within the last seconds; a member without partitions asks nothing.

        A role without lag cannot tell otherwise whether it is idle or its broker away.
        """
        return cast("ChunkConsumer", self.consumer).in_touch(within_s)

    async def before_revoke(self, revoked: set[TP]) -> None:
        """Call the callback given to `on_revoke`."""
        if self._before_revoke is not None:
            await self._before_revoke(revoked)


def check_versions() -> None:
    """Raise UntestedVersionError unless the pinned versions are installed."""
    found = {name: version(name) for name in TESTED_VERSIONS}
    wrong = [f"{name} {found[name]} (tested: {want})" for name, want in TESTED_VERSIONS.items() if found[name] != want]
    if wrong:
        msg = f"cannot start the chunked transport on {', '.join(wrong)}"
        raise UntestedVersionError(msg)


def chunk_app(settings: Settings, app_id: str) -> ChunkApp:
    """Make the Faust app for one role. Call it inside the running event loop.

    `app_id` is the consumer group. The web server, leader topic, topic creation and standby tables are off.
    """
    check_versions()
    broker = settings.broker
    app = ChunkApp(
        app_id,
        broker=";".join(f"kafka://{host}" for host in broker.bootstrap.split(",")),
        broker_credentials=_credentials(settings),
        processing_guarantee="at_least_once",
        store="memory://",
        datadir=tempfile.gettempdir() + "/ebbtide-faust",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        autodiscover=False,
        broker_commit_interval=settings.worker.commit_interval_s,
        broker_session_timeout=broker.session_timeout_s,
        broker_request_timeout=max(broker.request_timeout_s, broker.session_timeout_s),
        stream_recovery_delay=0.0,
        stream_wait_empty=False,
    )
    app.ebbtide_settings = settings
    app.transport = ChunkTransport([URL(f"kafka://{host}") for host in broker.bootstrap.split(",")], app)
    return app


def _credentials(settings: Settings) -> Any:
    """Credentials for Faust's own producer, which this app starts but does not use for data."""
    broker = settings.broker
    if broker.security_protocol == "PLAINTEXT":
        return None
    import ssl

    context = ssl.create_default_context() if broker.security_protocol.endswith("SSL") else None
    if broker.security_protocol == "SSL":
        return faust.SSLCredentials(context)
    return faust.SASLCredentials(
        mechanism=broker.sasl_mechanism,
        username=broker.sasl_username,
        password=broker.sasl_password,
        ssl_context=context,
    )


def chunk_topic(app: ChunkApp, *names: str) -> Any:
    """A channel of chunks over existing topics (their real names)."""
    return app.topic(*names, schema=ChunkSchema(), internal=False)


async def run_app(app: ChunkApp, stop: asyncio.Event, failed: asyncio.Future[None]) -> None:
    """Run until `stop` is set; raise what crashed the app or what was set on `failed`."""
    starting = asyncio.ensure_future(app.start())
    crashed = asyncio.ensure_future(app._crashed.wait())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await _first_of(starting, crashed, stopping, failed)
        if stop.is_set() and not failed.done() and app.crash_reason is None:
            await _settle(app)
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_WITHIN_S):
                await app.stop()
        for task in (starting, crashed, stopping):
            task.cancel()
        await asyncio.gather(starting, crashed, stopping, return_exceptions=True)
    if failed.done() and not failed.cancelled():
        failed.result()
    if app.crash_reason is not None:
        raise app.crash_reason


async def _settle(app: ChunkApp) -> None:
    """Finish what is in flight and commit it, so that a clean stop repeats nothing."""
    consumer = cast("ChunkConsumer", app.consumer)
    consumer.stop_flow()
    assigned = set(consumer.assignment())
    if assigned:
        await app.before_revoke(assigned)
        await consumer.commit_settled()


async def _first_of(starting: asyncio.Future[Any], *ends: asyncio.Future[Any]) -> None:
    await asyncio.wait({starting, *ends}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done() and not any(end.done() for end in ends):
        starting.result()
        await asyncio.wait(set(ends), return_when=asyncio.FIRST_COMPLETED)
