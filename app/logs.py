"""Logging of a process: one line per record on stderr, with the record's extra fields behind the text."""

from __future__ import annotations

import logging
import sys
import time

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}
#: Loggers whose information is noise to an operator: libraries, and our subclasses of theirs.
_QUIET = ("aiohttp.access", "aiokafka", "asyncio", "faust", "kafka", "mode", "streams.chunks")


class LineFormatter(logging.Formatter):
    """`time LEVEL logger: text key=value …`, tracebacks folded into the same line."""

    def __init__(self) -> None:
        self.converter = time.gmtime
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name in logging
        extra = [f"{key}={value}" for key, value in vars(record).items() if key not in _PLAIN]
        return " ".join([super().formatMessage(record), *extra])

    def format(self, record: logging.LogRecord) -> str:
        return " | ".join(line.rstrip() for line in super().format(record).splitlines() if line.strip())


def configure(level: str) -> None:
    """Send all records of at least `level` to stderr; the libraries' only from warning on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
