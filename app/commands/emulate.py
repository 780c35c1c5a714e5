"""`ebbtide emulate NAME`: a vendor on this machine, to try a destination without an account."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from app.commands.base import Command
from app.errors import AppError, UsageError
from app.roles import stop_on_signals
from models.settings import Settings

if TYPE_CHECKING:
    from streams.emulators.base import Emulator
    from streams.sync.receiver import Step


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: a share from 0 to 1")
    return share


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="which vendor; `list` shows them all")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="0 takes a free one, which is printed")
    parser.add_argument("--key", default="emulated-key", metavar="TEXT", help="the key it accepts (%(default)s)")
    parser.add_argument("--trouble", type=_share, default=0.0, metavar="SHARE", help="share of requests that fail (0)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which requests fail (0)")


def _run(args: argparse.Namespace, _: Settings) -> int:
    from streams.emulators import registry

    known = registry()
    if args.name == "list":
        print("\n".join(f"{name}  {declared.summary}" for name, declared in known.items()))
        return 0
    if args.name not in known:
        raise UsageError(f"no emulator {args.name!r}, allowed: {', '.join(known)}")
    emulator = known[args.name](
        key=args.key, misbehave=_trouble(args.trouble, args.seed), host=args.host, port=args.port
    )
    try:
        asyncio.run(_serve(emulator))
    except OSError as error:
        raise AppError(f"cannot listen on {args.host}:{args.port}: {(error.strerror or str(error)).lower()}") from None
    return 0


def _trouble(share: float, seed: int) -> Callable[[], Step | None]:
    from streams.sync.receiver import Step

    rng = random.Random(seed)
    steps = [Step("status", 429, "1"), Step("status", 500), Step("disconnect"), Step("disconnect", accept=True)]
    return lambda: rng.choice(steps) if rng.random() < share else None


async def _serve(emulator: Emulator) -> None:
    stop = stop_on_signals()
    async with emulator:
        print(f"# {emulator.summary}, at {emulator.url}; counts at {emulator.url}/; settings that use it:")
        for name, value in emulator.environ().items():
            print(f"export {name}={value}")
        print(f"\n[destinations.{emulator.kind}]")
        print("\n".join(f"{name} = {_toml(value)}" for name, value in emulator.options().items()), flush=True)
        await stop.wait()
    print(json.dumps(emulator.counts()), flush=True)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(inner)}" for name, inner in value.items()) + " }"
    return str(value).lower() if isinstance(value, bool) else json.dumps(value)


COMMANDS = (
    Command(
        "emulate",
        "serve a vendor's interface on this machine, to try a destination",
        "ebbtide emulate braze --port 8701",
        _arguments,
        _run,
    ),
)
