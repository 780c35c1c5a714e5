"""Asking running roles for their status over HTTP, wherever they are.

A role is asked at the address in `http.peers` if one is given, else at the addresses that processes noted in
the data directory, else at its own port of this machine.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
import orjson

from app import notes
from app.roles import ROLES
from models.settings import Settings

_TIMEOUT = aiohttp.ClientTimeout(total=2.0)


class Answer(msgspec.Struct, frozen=True):
    """What one role said, or why it said nothing (`up` False)."""

    role: str
    url: str
    up: bool
    ready: bool
    reason: str
    status: dict[str, Any]


def addresses(settings: Settings) -> list[tuple[str, str]]:
    """Role and base address of every role to ask; each role at least once, more often if it runs more often."""
    named = [(role, url.rstrip("/")) for role, _, url in (peer.partition("=") for peer in settings.http.peers)]
    noted = [(note.role, note.url) for note in notes.running_roles(settings)]
    found: list[tuple[str, str]] = []
    for role in ROLES:
        own = [(role, f"http://127.0.0.1:{getattr(settings.http, f'{role}_port')}")]
        found += [pair for pair in named if pair[0] == role] or [pair for pair in noted if pair[0] == role] or own
    return found


async def ask_all(settings: Settings, session: aiohttp.ClientSession | None = None) -> list[Answer]:
    """Every role's status, all asked at once; a role that does not answer within 2 s is down."""
    if session is None:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as own:
            return await ask_all(settings, own)
    return list(await asyncio.gather(*(_ask(session, role, url) for role, url in addresses(settings))))


async def ask_customer(settings: Settings, customer_id: str) -> dict[str, Any] | None:
    """The customer's state from whichever worker holds it; None if none does or none answers."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        for role, url in addresses(settings):
            if role == "worker":
                status, body = await _get(session, f"{url}/customers/{quote(customer_id, safe='')}")
                if status == 200 and isinstance(body, dict):
                    return body
    return None


async def _ask(session: aiohttp.ClientSession, role: str, url: str) -> Answer:
    status, body = await _get(session, f"{url}/status")
    if not isinstance(body, dict) or status != 200:
        reason = body if isinstance(body, str) else f"answered with status {status}"
        return Answer(role, url, up=False, ready=False, reason=reason, status={})
    return Answer(role, url, True, bool(body.get("ready")), str(body.get("reason", "")), body)


async def _get(session: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    """Status and decoded JSON; status 0 and the reason as text if there was no answer."""
    try:
        async with session.get(url, timeout=_TIMEOUT, allow_redirects=False) as response:
            return response.status, orjson.loads(await response.read())
    except TimeoutError:
        return 0, "no answer within 2 s"
    except orjson.JSONDecodeError:
        return 0, "answered with something else than JSON"
    except (aiohttp.ClientError, OSError, ValueError):
        return 0, "not running"
