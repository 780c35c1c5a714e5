"""What all emulators share: serving, planned trouble, rate windows, the record of what was accepted."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import msgspec
import orjson
from aiohttp import web

from streams.sync.rates import Window
from streams.sync.receiver import Step

_LARGEST_BYTES = 64 * 1024 * 1024


class Answer(msgspec.Struct, frozen=True):
    """What a vendor answers. A text goes as it is, everything else as JSON."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = {}


class Call(msgspec.Struct, frozen=True):
    """One request as a vendor sees it. Header names are lower case; `json` is None if the body is none."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    json: Any


class Emulator(ABC):
    """A vendor on a free port of this machine, serving inside `async with`.

    A subclass writes `authorized` and `answer`; it keeps customers in `profiles` and what happened in `events`.

    Parameters
    ----------
    key
        The credential that it accepts.
    misbehave
        Called for every request; a step of trouble, or None to behave.
    refuse
        Whether the vendor refuses this customer, in the way in which it refuses single rows.
    windows
        Other limits than the documented ones.
    delay_s
        How long an answer takes.
    """

    #: The type of the destination that it stands for.
    kind: ClassVar[str]
    summary: ClassVar[str]
    windows: ClassVar[tuple[Window, ...]] = ()
    #: How the vendor refuses rows: one by one (`rows`), only the whole request (`whole`), or never (`none`).
    refuses: ClassVar[str] = "rows"
    #: How many requests may be under way; None for any number.
    most_at_once: ClassVar[int | None] = None

    def __init__(
        self,
        *,
        key: str = "emulated-key",
        misbehave: Callable[[], Step | None] = lambda: None,
        refuse: Callable[[str], bool] = lambda _: False,
        windows: tuple[Window, ...] | None = None,
        delay_s: float = 0.0,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.key, self.refuse, self._delay_s = key, refuse, delay_s
        self.profiles: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.requests = self.troubled = self.throttled = self.unauthorized = self.malformed = 0
        self._at_once = self.crest = 0
        self._misbehave, self._host, self._port = misbehave, host, port
        self._windows = [_Sliding(window) for window in (self.windows if windows is None else windows)]
        self._closing, self._changed = asyncio.Event(), asyncio.Event()
        self._runner: web.AppRunner | None = None

    # What a vendor writes.

    @abstractmethod
    def authorized(self, call: Call) -> bool:
        """Whether the request carries the credential, in the vendor's way."""

    @abstractmethod
    def answer(self, call: Call) -> Answer:
        """Take what is right, refuse what is wrong."""

    def throttle(self, wait_s: float) -> Answer:
        """How the vendor says that it is too much."""
        return Answer(429, {"message": "rate limit exceeded"}, {"retry-after": str(max(1, round(wait_s + 0.5)))})

    def options(self) -> dict[str, Any]:
        """Options of a destination that talks to this emulator; secrets are those of `environ`."""
        return {"type": self.kind, "url": self.url, "allow_private": True}

    def environ(self) -> dict[str, str]:
        return {"EMULATED_KEY": self.key}

    def crowded(self) -> Answer:
        """How the vendor says that too many requests are under way."""
        return self.throttle(0.0)

    def add(self, who: str) -> None:  # noqa: B027 - most vendors need none
        """Let a customer exist, for vendors that tell only of those they know."""

    # The same for all.

    def keep(self, who: str, told: Mapping[str, Any]) -> None:
        """Merge attributes into a profile; None removes one, and a profile without any is none."""
        merged = self.profiles.get(who, {}) | dict(told)
        self.profiles[who] = {name: value for name, value in merged.items() if value is not None}
        if not self.profiles[who]:
            del self.profiles[who]

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_LARGEST_BYTES)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def counts(self) -> dict[str, int]:
        return {
            "requests": self.requests,
            "profiles": len(self.profiles),
            "events": len(self.events),
            "throttled": self.throttled,
            "unauthorized": self.unauthorized,
            "malformed": self.malformed,
        }

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.method == "GET" and request.path == "/":
            return web.json_response(self.counts())
        self.requests += 1
        step = self._misbehave()
        if step is not None:
            return await self._trouble(step, request, body)
        self._at_once += 1
        self.crest = max(self.crest, self._at_once)
        try:
            answer = self._take(request, body)
            await asyncio.sleep(self._delay_s)
            return _response(answer)
        finally:
            self._at_once -= 1

    async def _trouble(self, step: Step, request: web.Request, body: bytes) -> web.StreamResponse:
        self.troubled += 1
        if step.accept:
            self._take(request, body)
        if step.kind == "status":
            headers = {} if step.retry_after is None else {"retry-after": step.retry_after}
            return web.Response(status=step.status, headers=headers, text="planned trouble")
        if step.kind == "hang":
            await self._closing.wait()
        if request.transport is not None:
            request.transport.close()
        return web.Response(status=500)

    def _take(self, request: web.Request, body: bytes) -> Answer:
        if self.most_at_once is not None and self._at_once > self.most_at_once:
            self.throttled += 1
            return self.crowded()
        now = time.monotonic()
        wait_s = max((window.wait_s(now) for window in self._windows), default=0.0)
        if wait_s > 0.0:
            self.throttled += 1
            return self.throttle(wait_s)
        for window in self._windows:
            window.add(now)
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.method, request.path, headers, body, _json(body))
        if not self.authorized(call):
            self.unauthorized += 1
            return Answer(401, {"message": "invalid credentials"})
        answer = self.answer(call)
        self.malformed += answer.status in {400, 404, 405, 413, 415, 422}
        return answer


class _Sliding:
    """A sliding window over the requests that were let through."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._times: deque[float] = deque()

    def wait_s(self, now: float) -> float:
        while self._times and self._times[0] + self._window.seconds <= now:
            self._times.popleft()
        if len(self._times) < self._window.requests:
            return 0.0
        return self._times[0] + self._window.seconds - now

    def add(self, now: float) -> None:
        self._times.append(now)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _response(answer: Answer) -> web.Response:
    if isinstance(answer.body, str):
        return web.Response(status=answer.status, headers=answer.headers, text=answer.body)
    body = b"" if answer.body is None else orjson.dumps(answer.body)
    return web.Response(status=answer.status, headers=answer.headers, body=body, content_type="application/json")
