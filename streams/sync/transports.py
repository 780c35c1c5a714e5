"""How requests travel, by the scheme of their address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from models.settings import SyncSettings
from streams.destinations.base import Destination
from streams.destinations.contract.messages import Reply, Request
from streams.sync.http import Sender


class Transport(AbstractAsyncContextManager[Any], Protocol):
    """Carries requests, inside `async with`."""

    @property
    def send(self) -> Callable[[Request], Awaitable[Reply]]:
        """One exchange. Raises SendFailed or ForbiddenAddress."""
        ...


def transport_of(destination: Destination[Any], sync: SyncSettings) -> Transport:
    """The transport of a destination, with its limits."""
    return Sender(
        timeout_s=sync.timeout_s, connections=sync.concurrency, allow_private=destination.options.allow_private
    )
