"""Where the output of the supervised roles goes: a file each, or one stream with the role's name in front."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from pathlib import Path
from typing import IO, TextIO

_TAIL_LINES = 5
_TAIL_BYTES = 4096
_MAX_LINE_BYTES = 65_536


class Output(ABC):
    """Takes the standard output and error of child processes."""

    @abstractmethod
    def open(self, name: str) -> int | IO[bytes]:
        """What a new child writes to: an open file, or `PIPE` if `follow` shall read it."""

    @abstractmethod
    async def follow(self, name: str, stream: asyncio.StreamReader) -> None:
        """Read one child's pipe to its end; only called if `open` gave `PIPE`."""

    @abstractmethod
    def tail(self, name: str) -> str:
        """The last lines a child wrote, in one line, to say why it ended."""

    @abstractmethod
    def location(self, name: str) -> str | None:
        """Path of the child's log, if it has one."""


class ToFiles(Output):
    """One file `<name>.log` per child; the child writes to it directly, so a busy supervisor delays nobody."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def open(self, name: str) -> IO[bytes]:
        return self._path(name).open("ab")

    async def follow(self, name: str, stream: asyncio.StreamReader) -> None:
        raise TypeError(f"{name} writes to {self._path(name)} itself, there is no {stream} to read")

    def tail(self, name: str) -> str:
        try:
            text = self._path(name).read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace")
        except OSError:
            return ""
        return " / ".join(text.splitlines()[-_TAIL_LINES:])

    def location(self, name: str) -> str:
        return str(self._path(name))

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.log"


class Prefixed(Output):
    """All children on one stream, each line behind its child's name."""

    def __init__(self, stream: TextIO, width: int = 9) -> None:
        self._stream = stream
        self._width = width
        self._tails: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_TAIL_LINES))

    def open(self, name: str) -> int:  # noqa: ARG002 - every child has the same
        return asyncio.subprocess.PIPE

    async def follow(self, name: str, stream: asyncio.StreamReader) -> None:
        rest = b""
        while piece := await stream.read(_MAX_LINE_BYTES):
            *lines, rest = (rest + piece).split(b"\n")
            self._write(name, lines)
            if len(rest) > _MAX_LINE_BYTES:
                self._write(name, [rest])
                rest = b""
        self._write(name, [rest] if rest else [])

    def tail(self, name: str) -> str:
        return " / ".join(self._tails[name])

    def location(self, name: str) -> None:  # noqa: ARG002 - no child has one
        return None

    def _write(self, name: str, lines: list[bytes]) -> None:
        texts = [line.decode("utf-8", "replace").rstrip() for line in lines]
        self._tails[name].extend(texts)
        self._stream.writelines(f"{name:<{self._width}} | {text}\n" for text in texts)
        self._stream.flush()
