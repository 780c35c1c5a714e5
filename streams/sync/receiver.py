"""A small webhook receiver, for demos, docker compose and tests: `python -m streams.sync.receiver --port 8700`.

It checks signatures, drops repetitions by `webhook-id`, counts, and keeps the newest messages. It can misbehave by
plan, in every way in which real endpoints do, so that a sender can be tested against real HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any, Literal, Self

import msgspec
import orjson
from aiohttp import web

from streams.destinations.base import InvalidDestination
from streams.destinations.webhook import InvalidSignature, parse_secrets, verify

HOOK_PATH = "/hook"
ELSEWHERE_PATH = "/elsewhere"
SECRET_VARIABLE = "EBBTIDE_SYNC_WEBHOOK_SECRET"  # noqa: S105 - the variable's name, not a secret
_PLAN_WORDS = "a status such as 429 or 429:2 (Retry-After 2), ok, hang, disconnect, slow_body, garbage, redirect"

StepKind = Literal["ok", "status", "hang", "disconnect", "slow_body", "garbage", "redirect"]


class Step(msgspec.Struct, frozen=True):
    """How to answer one request.

    `hang` never answers, `disconnect` closes without an answer, `slow_body` sends the head of a 200 and never ends its
    body, `garbage` sends bytes that are no HTTP, `redirect` points to another path of the receiver. With
    `accept` the message is taken before misbehaving, as by an endpoint that fails after its work.
    """

    kind: StepKind = "ok"
    status: int = 200
    retry_after: str | None = None
    accept: bool = False


class Received(msgspec.Struct, frozen=True):
    """One accepted message. `received_at` is in epoch seconds."""

    id: str
    type: str
    data: dict[str, Any]
    received_at: float


Plan = Iterable[Step] | Callable[[dict[str, Any]], Step | None]


class WebhookReceiver:
    """A receiver on a free port of this machine, serving inside `async with`.

    Parameters
    ----------
    secret
        As in `sync.webhook_secret`.
    misbehave
        Steps for the first requests, in order; or a function from the message to a step. None, or a plan at its end,
        means to behave.
    keep
        How many accepted messages are kept; the ids of ten times as many are remembered.
    """

    def __init__(
        self,
        secret: str,
        misbehave: Plan = (),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        keep: int = 10_000,
        wall: Callable[[], float] = time.time,
    ) -> None:
        parse_secrets(secret)
        self.accepted: deque[Received] = deque(maxlen=keep)
        self.requests = self.accepted_total = self.duplicates = self.invalid = self.elsewhere = 0
        self._secret, self._host, self._port, self._wall = secret, host, port, wall
        self._choose = misbehave if callable(misbehave) else _in_order(misbehave)
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._remember = 10 * keep
        self._closing = asyncio.Event()
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where to send webhooks."""
        return f"http://{self._host}:{self._port}{HOOK_PATH}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=256 * 1024)
        app.router.add_post(HOOK_PATH, self._hook)
        app.router.add_route("*", ELSEWHERE_PATH, self._elsewhere)
        app.router.add_get("/", self._summary)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        # The port that was really bound, so that a restarted receiver comes back at the same address.
        self._port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def until(self, condition: Callable[[Self], bool], timeout_s: float = 20.0) -> None:
        """Wait until a condition on this receiver holds. Raises TimeoutError with the counts."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"receiver waited {timeout_s:g} s in vain: {self.counts()}") from None

    def counts(self) -> dict[str, int]:
        return {
            "requests": self.requests,
            "accepted": self.accepted_total,
            "duplicates": self.duplicates,
            "invalid": self.invalid,
        }

    async def _hook(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        try:
            body = await request.read()
            try:
                message_id = verify(self._secret, request.headers, body, self._wall())
                message = orjson.loads(body)
            except (InvalidSignature, orjson.JSONDecodeError) as error:
                self.invalid += 1
                return web.json_response({"error": str(error)}, status=401)
            step = self._choose(message) or Step()
            if step.accept or step.kind in {"ok", "slow_body"}:
                self._accept(message_id, message)
            return await self._answer(request, step)
        finally:
            self._changed.set()

    def _accept(self, message_id: str, message: dict[str, Any]) -> None:
        if message_id in self._seen:
            self.duplicates += 1
            return
        self._seen[message_id] = None
        if len(self._seen) > self._remember:
            self._seen.popitem(last=False)
        self.accepted_total += 1
        self.accepted.append(Received(message_id, message["type"], message["data"], self._wall()))

    async def _answer(self, request: web.Request, step: Step) -> web.StreamResponse:
        if step.kind == "ok":
            return web.Response(status=204)
        if step.kind == "redirect":
            return web.Response(status=307, headers={"location": ELSEWHERE_PATH})
        if step.kind == "status":
            headers = {} if step.retry_after is None else {"retry-after": step.retry_after}
            return web.Response(status=step.status, headers=headers, text=f"planned answer {step.status}")
        if step.kind == "slow_body":
            response = web.StreamResponse(headers={"content-length": "1000"})
            await response.prepare(request)
            await response.write(b"the rest never comes")
            await self._closing.wait()
            return response
        if step.kind == "hang":
            await self._closing.wait()
        transport = request.transport
        if transport is not None:
            if step.kind == "garbage":
                transport.write(b"\x00\xffnot http at all\r\n\r\n")
            transport.close()
        return web.Response(status=500)

    async def _elsewhere(self, _request: web.Request) -> web.Response:
        self.elsewhere += 1
        return web.Response(status=204)

    async def _summary(self, _request: web.Request) -> web.Response:
        newest = [msgspec.to_builtins(message) for message in list(self.accepted)[-20:]]
        return web.json_response(self.counts() | {"newest": newest})


def _in_order(steps: Iterable[Step]) -> Callable[[dict[str, Any]], Step | None]:
    remaining = iter(steps)
    return lambda _message: next(remaining, None)


def parse_plan(text: str) -> list[Step]:
    """Steps from words separated by commas, such as `429:2,500,hang,disconnect`. Raises ValueError."""
    return [_parse_step(word.strip()) for word in text.split(",") if word.strip()]


def _parse_step(word: str) -> Step:
    code, _, retry_after = word.partition(":")
    if code.isascii() and code.isdigit() and 200 <= int(code) <= 599:
        return Step("status", int(code), retry_after or None)
    try:
        return Step(msgspec.convert(word, StepKind))
    except msgspec.ValidationError:
        raise ValueError(f"unknown step {word!r} in the plan, allowed: {_PLAN_WORDS}") from None


async def _serve(receiver: WebhookReceiver) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with receiver:
        print(f"receiving webhooks at {receiver.url}", flush=True)  # noqa: T201 - this module is a command
        await stop.wait()
    print(orjson.dumps(receiver.counts()).decode(), flush=True)  # noqa: T201 - this module is a command


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, then print the counts as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m streams.sync.receiver", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one, which is printed")
    parser.add_argument("--secret", default=os.environ.get(SECRET_VARIABLE, ""), help=f"[env: {SECRET_VARIABLE}]")
    parser.add_argument("--plan", default="", help=f"how to misbehave at first: {_PLAN_WORDS}, separated by commas")
    given = parser.parse_args(arguments)
    try:
        receiver = WebhookReceiver(given.secret, parse_plan(given.plan), host=given.host, port=given.port)
    except (InvalidDestination, ValueError) as error:
        parser.error(str(error))
    asyncio.run(_serve(receiver))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
