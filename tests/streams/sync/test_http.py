from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from streams.destinations.contract.messages import Reply, Request
from streams.sync import http
from streams.sync.http import ForbiddenAddress, Sender, SendFailed, is_public
from streams.sync.receiver import WebhookReceiver
from tests.streams.sync.support import SECRET


def request_to(url: str) -> Request:
    return Request("POST", url, {"content-type": "application/json"}, b"{}", "msg_1")


def exchange(url: str, **options: Any) -> Reply:
    """One exchange with a fresh sender."""

    async def once() -> Reply:
        async with Sender(**({"timeout_s": 5.0, "connections": 2, "allow_private": True} | options)) as sender:
            return await sender.send(request_to(url))

    return asyncio.run(once())


@asynccontextmanager
async def raw_server(answer: bytes, *, hang: bool = False, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A TCP server's port; it answers the head of any request with the same bytes, then closes or hangs."""
    handlers: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()

        assert task is not None

        handlers.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            if hang:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*handlers)


def ask_raw(answer: bytes, *, timeout_s: float = 5.0, hang: bool = False) -> Reply:
    """What one exchange with such a server gives."""

    async def attempt() -> Reply:
        async with (
            raw_server(answer, hang=hang) as port,
            Sender(timeout_s=timeout_s, connections=2, allow_private=True) as sender,
        ):
            return await sender.send(request_to(f"http://127.0.0.1:{port}/"))

    return asyncio.run(attempt())


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - an address to be refused
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "2002:7f00:0001::",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2001:0:1::1",
        "2001:db8::1",
        "not-an-address",
        "",
    ],
)
def test_inner_addresses_are_not_public(address: str) -> None:
    """Private, loopback, link-local, shared, reserved and multicast addresses are told apart, also inside IPv6 ones."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses_are_public(address: str) -> None:
    """Ordinary internet addresses pass, also written inside IPv6 ones."""
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0"],
)
def test_every_spelling_of_this_machine_is_refused(host: str) -> None:
    """However loopback is written, no connection is made to it; a listening server never hears of the request."""

    async def attempt() -> int:
        async with WebhookReceiver(SECRET) as receiver:
            port = receiver.url.split(":")[2].split("/")[0]
            async with Sender(timeout_s=5.0, connections=2, allow_private=False) as sender:
                with pytest.raises((ForbiddenAddress, SendFailed)):
                    await sender.send(request_to(f"http://{host}:{port}/hook"))
            return receiver.requests

    assert asyncio.run(attempt()) == 0


def test_refused_address_is_reported_as_such() -> None:
    """The guard's refusal is an error of its own, since only an operator can mend it."""
    with pytest.raises(ForbiddenAddress, match=r"allowed only with sync\.webhook_allow_private"):
        exchange("http://127.0.0.1:9/", allow_private=False)


def test_name_that_rebinds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check is on the address that is connected to: a name that turns inwards the second time is refused then."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"], ["::1", "127.0.0.1"]])
    connected: list[str] = []

    class Resolver:
        async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
            return [
                {
                    "hostname": host,
                    "host": address,
                    "port": port,
                    "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                    "proto": 0,
                    "flags": socket.AI_NUMERICHOST,
                }
                for address in next(answers)
            ]

        async def close(self) -> None:
            pass

    def refuse_to_connect(addr_info: tuple[Any, ...]) -> socket.socket:
        connected.append(addr_info[4][0])
        raise ConnectionRefusedError(111, "refused by the test")

    monkeypatch.setattr(http, "_any_socket", refuse_to_connect)

    async def attempt() -> list[type[Exception]]:
        kinds: list[type[Exception]] = []
        async with Sender(timeout_s=5.0, connections=2, allow_private=False) as sender:
            session = sender._session

            assert session is not None

            connector: Any = session.connector
            await connector._resolver.close()
            connector._resolver, connector._use_dns_cache = Resolver(), False
            connector._resolver_owner = False
            for _ in range(3):
                try:
                    await sender.send(request_to("http://rebinding.example/"))
                except (ForbiddenAddress, SendFailed) as error:
                    kinds.append(type(error))
        return kinds

    assert asyncio.run(attempt()) == [SendFailed, ForbiddenAddress, ForbiddenAddress]
    assert connected == ["93.184.216.34"]


def test_redirects_are_not_followed() -> None:
    """A redirect is handed back as it is, and its target is not visited."""

    async def attempt() -> tuple[int, int]:
        async with WebhookReceiver(SECRET) as target:
            location = target.url.replace("/hook", "/elsewhere")
            answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
            async with (
                raw_server(answer) as port,
                Sender(timeout_s=5.0, connections=2, allow_private=True) as sender,
            ):
                reply = await sender.send(request_to(f"http://127.0.0.1:{port}/"))
            return reply.status, target.elsewhere

    assert asyncio.run(attempt()) == (302, 0)


def test_body_is_read_up_to_a_cap() -> None:
    """An endless answer costs 64 KiB and no more."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 9_000_000
    reply = ask_raw(answer)

    assert reply.status == 200
    assert len(reply.body) == 64 * 1024


def test_compressed_answers_are_not_inflated() -> None:
    """A body that claims to be compressed is kept as it came, so it cannot explode in memory."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbomb"

    assert ask_raw(answer).body == b"bomb"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xffgarbage\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    ],
)
def test_broken_answers_are_failures(answer: bytes) -> None:
    """A connection that closes, or speaks no HTTP, is a failure whose effect is unknown."""
    with pytest.raises(SendFailed) as failure:
        ask_raw(answer)

    assert failure.value.reached


def test_nobody_listening_is_a_failure_without_effect() -> None:
    """A refused connection is known to have had no effect, and its text holds no address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SendFailed, match="not connected: ECONNREFUSED") as failure:
            exchange(f"http://127.0.0.1:{taken.getsockname()[1]}/t0k3n")

    assert not failure.value.reached
    assert "t0k3n" not in str(failure.value)


def test_timeout_covers_a_hanging_endpoint() -> None:
    """An endpoint that takes the request and says nothing is given up after the limit."""
    with pytest.raises(SendFailed, match="timeout") as failure:
        ask_raw(b"", hang=True, timeout_s=0.2)

    assert failure.value.reached


def test_status_counts_although_the_body_never_ends() -> None:
    """Once a status has arrived the answer is known; a body that stops half way does not take it back."""
    reply = ask_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", hang=True, timeout_s=0.3)

    assert (reply.status, reply.body) == (200, b"half")


def test_self_signed_certificates_are_refused(tmp_path: Path) -> None:
    """Certificates are verified: a server with a self-signed one gets no request."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode != 0:
        pytest.skip("openssl, which makes the test certificate, is not installed here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    async def attempt() -> str:
        async with (
            raw_server(b"", tls=context) as port,
            Sender(timeout_s=5.0, connections=2, allow_private=True) as sender,
        ):
            with pytest.raises(SendFailed) as failure:
                await sender.send(request_to(f"https://127.0.0.1:{port}/"))
            return str(failure.value)

    assert asyncio.run(attempt()) == "tls handshake failed"


def test_proxies_from_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy variable does not lead around the address guard."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    reply = ask_raw(b"HTTP/1.1 204 No Content\r\n\r\n")

    assert reply.status == 204
