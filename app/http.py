"""The HTTP server of one role: metrics, health, status and, on a worker, its customers.

    GET /metrics          Prometheus text
    GET /health/live      200, or 503 once the role has been stuck for so long that a restart is due
    GET /health/ready     200, or 503 with the reason: starting, or stalled in front of waiting work
    GET /status           the role's figures as JSON, for the console
    GET /customers/{id}   the customer's state as JSON, where the role offers `customer(id)`

A server on a loopback address answers only requests that name a loopback host, so a web page that points its
own name at 127.0.0.1 (DNS rebinding) cannot read customers.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, runtime_checkable

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from app.errors import AppError
from streams.telemetry import Telemetry

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_JSON_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@runtime_checkable
class KnowsCustomers(Protocol):
    """A role that can show one customer's state."""

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        """The state as plain data; None if this worker does not hold the customer."""
        ...


def json_response(data: Any, status: int = 200) -> web.Response:
    """Any plain data as JSON; what JSON lacks (NaN) is null, never a syntax error."""
    body = orjson.dumps(data, default=str, option=_JSON_OPTIONS)
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def role_app(telemetry: Telemetry, role: Callable[[], object | None] = lambda: None) -> web.Application:
    """The routes of one role. `role` gives the role's object once it is built."""
    started = time.monotonic()

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=telemetry.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def live(_: web.Request) -> web.Response:
        return _verdict(telemetry.role, *telemetry.alive())

    async def ready(_: web.Request) -> web.Response:
        return _verdict(telemetry.role, *telemetry.health())

    async def status(_: web.Request) -> web.Response:
        is_ready, reason = telemetry.health()
        frame = {"pid": os.getpid(), "uptime_s": round(time.monotonic() - started, 1)}
        return json_response(telemetry.status | frame | {"ready": is_ready, "reason": reason})

    async def customer(request: web.Request) -> web.Response:
        customer_id, holder = request.match_info["id"], role()
        state = holder.customer(customer_id) if isinstance(holder, KnowsCustomers) else None
        if state is None:
            return json_response({"error": f"no customer {customer_id!r} in this {telemetry.role}"}, status=404)
        return json_response(state)

    app = web.Application(middlewares=[guard_host])
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/status", status)
    app.router.add_get("/customers/{id}", customer)
    return app


@asynccontextmanager
async def serve(app: web.Application, host: str, port: int, setting: str) -> AsyncIterator[str]:
    """Serve `app` for the length of the block and yield its address, `http://host:port`.

    Parameters
    ----------
    app
        The routes.
    host, port
        Where to listen; port 0 takes a free one.
    setting
        Name of the port's setting, for the error message.

    Raises
    ------
    AppError
        If the address cannot be used.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await _listen(runner, host, port, setting)
        yield _address(runner, host)
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int, setting: str) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        busy = error.errno == errno.EADDRINUSE
        reason = "the port is in use" if busy else (error.strerror or str(error)).lower()
        raise AppError(
            f"cannot listen on {host}:{port}: {reason}; allowed: a free port in {setting}, or 0 to take any"
        ) from None


def _address(runner: web.AppRunner, host: str) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{runner.addresses[0][1]}"


def _verdict(role: str, fine: bool, reason: str) -> web.Response:
    return json_response({"role": role, "ok": fine, "reason": reason}, status=200 if fine else 503)


@web.middleware
async def guard_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a request to a loopback address that names another host."""
    local = request.transport.get_extra_info("sockname")[0] if request.transport else ""
    if local in _LOOPBACK and (request.url.host or "") not in _LOOPBACK:
        return json_response({"error": f"host {request.url.host!r} is not this machine"}, status=403)
    return await handler(request)
