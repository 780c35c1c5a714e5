"""The console: one live page with the figures of every role, for an operator's browser.

`poller` collects, `overview` shapes, `history` remembers, `customers` reads the newest snapshot; the page itself is
three plain files under `static`, served from memory, which ask nobody but this server.

    GET /                the page
    GET /api/overview    its data; `?after=T` limits the history to samples later than T (epoch seconds)
    GET /health/live     200 while the server runs
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

from aiohttp import web

from app.console.customers import SnapshotReader
from app.console.poller import EVERY_S, Children, Poller, ReadTable
from app.http import Handler, guard_host, json_response, serve
from models.settings import Settings

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@asynccontextmanager
async def serve_console(
    settings: Settings,
    children: Children | None = None,
    *,
    read: ReadTable | None = None,
    every_s: float = EVERY_S,
) -> AsyncIterator[str]:
    """Serve the page for the length of the block and yield its address.

    Parameters
    ----------
    settings
        Where to listen, where the roles and the data directory are.
    children
        The supervisor of the roles, if it runs here: adds restarts and states.
    read
        How to read the newest snapshot, called in a thread; by default from the data directory.
    every_s
        Seconds between two looks at the roles.
    """
    poller, stop = Poller(settings, read or SnapshotReader(), children), asyncio.Event()
    async with serve(console_app(poller), settings.http.host, settings.http.console_port, "http.console_port") as url:
        task = asyncio.create_task(poller.run(stop, every_s), name="console poller")
        try:
            yield url
        finally:
            stop.set()
            await task


def console_app(poller: Poller) -> web.Application:
    """The routes of the page and its data."""
    page = files(__name__) / "static"
    app = web.Application(middlewares=[guard_host])

    async def data(request: web.Request) -> web.Response:
        after = _seconds(request.query.get("after", ""))
        if poller.latest is None:
            return json_response({"error": "nothing collected yet"}, status=503)
        return json_response(poller.latest | {"history": poller.history.after(after)})

    async def live(_: web.Request) -> web.Response:
        return json_response({"role": "console", "ok": True, "reason": "alive"})

    app.router.add_get("/api/overview", data)
    app.router.add_get("/health/live", live)
    for file in page.iterdir():
        path = "/" if file.name == "index.html" else f"/static/{file.name}"
        app.router.add_get(path, _file(file.read_bytes(), _TYPES[file.name.rpartition(".")[2]]))
    return app


def _file(body: bytes, content_type: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=_HEADERS)

    return handler


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0
