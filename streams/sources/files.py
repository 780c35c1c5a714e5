"""Events from files: NDJSON, plain or gzip, and Parquet. What a file holds is told by its first bytes, not its name.

Files are read as a stream; memory holds one line, or one batch of a Parquet file, per file.

A Parquet file has either a column `raw` (bytes or text, one event each) or one column per top-level field of
an event. `properties`, `context`, `traits` and `integrations` may be structs or text in JSON; times may be text,
numbers or timestamps (UTC unless they say otherwise). Nulls are fields that are not there.
"""

from __future__ import annotations

import gzip
import heapq
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, Final

import orjson

from streams.sources.event import SourceError, SourceEvent, address

#: A longer line is cut to this many bytes: far more than any decoder accepts, and still small enough to be sent, so
#: that it ends in quarantine.
MAX_LINE_BYTES: Final = 4 * 1024 * 1024

_PARQUET, _GZIP = b"PAR1", b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_BATCH_ROWS = 2_000
_OBJECTS = frozenset({"properties", "context", "traits", "integrations"})


def read_files(paths: Iterable[Path]) -> Iterator[SourceEvent]:
    """Events of all files: of one file in its own order, of several merged by time.

    Merging keeps the order within each file; files that are sorted by time give one stream that is.

    Raises
    ------
    SourceError
        A file is missing or cannot be read further. Missing files are all named before the first event.
    """
    files = list(paths)
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise SourceError(f"cannot read events: no such file: {', '.join(map(repr, missing))}")
    return _merged(files)


def _merged(files: list[Path]) -> Iterator[SourceEvent]:
    yield from heapq.merge(*map(read_file, files), key=attrgetter("time"))


def read_file(path: Path) -> Iterator[SourceEvent]:
    """Events of one file, in its order. A bad event is passed on like any other.

    Raises
    ------
    SourceError
        The file is missing, or damaged; what was read before has been passed on.
    """
    count, newest = 0, 0.0
    try:
        with path.open("rb") as file:
            for raw in _raws(file):
                event = address(raw, newest)
                newest = event.time
                yield event
                count += 1
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise SourceError(f"cannot read {str(path)!r} after {count} events: {error}") from error


def _raws(file: IO[bytes]) -> Iterator[bytes]:
    start = file.read(4)
    file.seek(0)
    if start == _PARQUET:
        return _rows(file)
    return _lines(file, zipped=start[:2] == _GZIP)


def _lines(file: IO[bytes], *, zipped: bool) -> Iterator[bytes]:
    with ExitStack() as stack:
        lines: IO[bytes] | gzip.GzipFile = stack.enter_context(gzip.open(file, "rb")) if zipped else file
        first = True
        while line := lines.readline(MAX_LINE_BYTES):
            if not line.endswith(b"\n"):
                _skip_line(lines)
            line = line.removeprefix(_BOM) if first else line
            first = False
            line = line.rstrip(b"\r\n")
            if line and not line.isspace():
                yield line


def _skip_line(lines: IO[bytes] | gzip.GzipFile) -> None:
    while (rest := lines.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass


def _rows(file: IO[bytes]) -> Iterator[bytes]:
    # pyarrow takes a third of a second to import; reading NDJSON does not need it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file)
    columns = table.schema_arrow.names
    for batch in table.iter_batches(batch_size=_BATCH_ROWS):
        if "raw" in columns:
            for value in batch.column("raw").to_pylist():
                yield value.encode() if isinstance(value, str) else bytes(value or b"")
        else:
            for row in _microseconds(batch, pa).to_pylist():
                yield _json(row)


def _microseconds(batch: Any, pa: Any) -> Any:
    """Nanosecond timestamps would need pandas to become Python values."""
    for number, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            column = batch.column(number).cast(pa.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(number, field.name, column)
    return batch


def _json(row: dict[str, Any]) -> bytes:
    present = {name: _value(name, value) for name, value in row.items() if value is not None}
    return orjson.dumps(present, default=_plain, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)


def _value(name: str, value: Any) -> Any:
    if name in _OBJECTS and isinstance(value, str):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            # Stays a text, which the decoder refuses with its reason.
            return value
    return _without_nulls(value)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_without_nulls(part) for part in value]
    return value


def _plain(value: Any) -> Any:
    """What JSON has no type for: decimals as numbers, bytes as text, nanosecond times of nested fields."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return float(value)
