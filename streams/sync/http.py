"""One guarded HTTP exchange: the only place where the sync role touches the network.

What a destination's address may do is limited, because it comes from configuration and its answers come from
strangers: certificates are verified, redirects are not followed, the whole exchange has one time limit, the
body is read up to a cap, proxies from the environment are ignored. Addresses inside our own network are
refused at the last step before connecting, on the address itself, so that neither a name that resolves
differently the second time nor an unusual spelling of an address passes.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import time
from collections.abc import Callable
from typing import Any, Self

import aiohttp

from streams.destinations.contract.messages import Reply, Request

USER_AGENT = "ebbtide-sync/1"
_BODY_CAP_BYTES = 64 * 1024
_HEADER_CAP = 64
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class SendFailed(Exception):  # noqa: N818 - reads as the fact that it states
    """No answer came back. `reached` is False if there was no connection, so the request cannot have taken effect."""

    def __init__(self, detail: str, *, reached: bool) -> None:
        super().__init__(detail)
        self.reached = reached


class ForbiddenAddress(OSError):  # noqa: N818 - reads as the fact that it states
    """The destination's address lies inside a private network, which the settings do not allow."""

    def __init__(self) -> None:
        # Without the address: several refused addresses of one name must read the same to be reported as this.
        super().__init__(
            errno.EACCES,
            "the address is not public (private, loopback, link-local, reserved or multicast), "
            "allowed only with sync.webhook_allow_private",
        )


class Sender:
    """One client session for one destination.

    Parameters
    ----------
    timeout_s
        Limit in seconds for a whole exchange, from name resolution to the last byte.
    connections
        Largest number of connections at a time.
    allow_private
        Whether addresses that are not public may be connected to.
    wall
        Clock in epoch seconds, for Retry-After dates.
    """

    def __init__(
        self, *, timeout_s: float, connections: int, allow_private: bool, wall: Callable[[], float] = time.time
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._connections = connections
        self._allow_private = allow_private
        self._wall = wall
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, socket_factory=_any_socket if self._allow_private else _public_socket
            ),
            timeout=self._timeout,
            headers={"user-agent": USER_AGENT},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, request: Request) -> Reply:
        """Send once. Raises ForbiddenAddress and SendFailed; the caller decides about trying again."""
        if self._session is None:
            raise RuntimeError("cannot send before the sender was entered with `async with`")
        try:
            async with self._session.request(
                request.method, request.url, data=request.body, headers=request.headers, allow_redirects=False
            ) as response:
                body = await _read_capped(response)
                headers = {name.lower(): value for name, value in list(response.headers.items())[:_HEADER_CAP]}
                return Reply(response.status, headers, body, self._wall())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ForbiddenAddress):
                raise error.os_error from error
            raise SendFailed(_describe(error), reached=not isinstance(error, aiohttp.ClientConnectorError)) from error


async def _read_capped(response: aiohttp.ClientResponse) -> bytes:
    """The start of the body. The status has arrived and counts; a body that does not follow changes nothing."""
    parts: list[bytes] = []
    room = _BODY_CAP_BYTES
    try:
        while room > 0 and (part := await response.content.read(room)):
            parts.append(part)
            room -= len(part)
    except (aiohttp.ClientError, TimeoutError, OSError):
        response.close()
    if room <= 0:
        # The rest stays unread, so the connection cannot be used again.
        response.close()
    return b"".join(parts)


def _describe(error: Exception) -> str:
    """The kind of failure in bounded words: an exception's own text may hold the whole address."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "tls handshake failed"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "name not resolved"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"not connected: {errno.errorcode.get(error.os_error.errno or 0, 'unknown error')}"
    return f"connection failed: {type(error).__name__}"


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, looking through addresses embedded in IPv6 ones."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.teredo is not None or ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _any_socket(addr_info: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, _ = addr_info
    return socket.socket(family=family, type=kind, proto=protocol)


def _public_socket(addr_info: tuple[Any, ...]) -> socket.socket:
    if not is_public(str(addr_info[4][0])):
        raise ForbiddenAddress
    return _any_socket(addr_info)
