"""CDNOW told as events: the purchases of 23,570 customers who first bought in early 1997, until June 1998.

The classic data set of Fader and Hardie. It is read from `CDNOW_master.txt` (customer, date, number of CDs, amount in
dollars; one line per purchase), which is given by path or taken from the PyPI package `lifetimes` without importing it.
Purchases have only a date: noon UTC is assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import orjson

from models.events.catalog import PURCHASES
from streams.sources.event import SourceError, SourceEvent
from streams.sources.registry import NamedSource, Opened

#: Totals of the whole file, for progress bars and checks.
CUSTOMERS: Final = 23_570
PURCHASES_TOLD: Final = 69_659

_FILE = "CDNOW_master.txt"
_HEADER = "customer_id"
_NOON_S = 12 * 3600


def open_cdnow(argument: str) -> Opened:
    """All purchases in the order of their dates. `argument` is the path of the file, empty for that of `lifetimes`.

    Raises
    ------
    SourceError
        There is no such file, or one of its lines is not a purchase.
    """
    rows = _rows(Path(argument) if argument else _packaged())
    total = max(1, len(rows))
    return Opened(_events(rows), lambda count, _: min(1.0, count / total))


def _packaged() -> Path:
    try:
        spec = find_spec("lifetimes")
    except ValueError:
        spec = None
    path = Path(spec.origin).parent / "datasets" / _FILE if spec and spec.origin else None
    if path is None or not path.is_file():
        raise SourceError(
            "cannot read CDNOW: the package lifetimes is not installed; "
            f"pip install lifetimes, or name the file: cdnow:PATH of {_FILE}"
        )
    return path


def _rows(path: Path) -> list[tuple[int, str, int, float]]:
    """(time, customer, CDs, dollars) by time, then as in the file."""
    rows: list[tuple[int, str, int, float]] = []
    try:
        with path.open(encoding="ascii") as file:
            for line in file:
                fields = line.split()
                if fields and fields[0] != _HEADER:
                    rows.append(_purchase(*fields))
    except (OSError, ValueError, TypeError) as error:
        raise SourceError(f"cannot read {str(path)!r} after {len(rows)} purchases of CDNOW: {error}") from None
    return sorted(rows, key=lambda row: row[0])


def _purchase(customer: str, date: str, cds: str, dollars: str) -> tuple[int, str, int, float]:
    at = datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
    return int(at.timestamp()) + _NOON_S, customer, int(cds), float(dollars)


def _events(rows: list[tuple[int, str, int, float]]) -> Iterator[SourceEvent]:
    for number, (second, customer, cds, dollars) in enumerate(rows):
        who = f"cdnow-{customer}"
        body = {
            "type": "track",
            "event": "Order Completed",
            "messageId": f"cdnow-{number}",
            "userId": who,
            "timestamp": datetime.fromtimestamp(second, UTC),
            "properties": {
                "order_id": str(number),
                "total": dollars,
                "currency": "USD",
                "products": [{"product_id": "cd", "quantity": cds, "price": round(dollars / max(cds, 1), 4)}],
            },
        }
        yield SourceEvent(PURCHASES, who, float(second), orjson.dumps(body, option=orjson.OPT_UTC_Z))


SOURCE = NamedSource("cdnow", "cdnow[:PATH]", "purchases at CDNOW, 1997 to 1998", open_cdnow)
