"""What the simulated shop sells, and the devices that its customers use."""

from __future__ import annotations

from typing import Final, NamedTuple

import orjson

CURRENCY: Final = "EUR"
PLANS: Final = ("basic", "classic", "family")


class Product(NamedTuple):
    """One product; `fields` is its JSON without braces, as events carry it."""

    product_id: str
    name: str
    category: str
    price: float
    fields: str


def _product(number: int, kind: str, name: str, category: str) -> Product:
    price = round(3.5 + (number * 37 % 41) * 0.55, 2)
    product_id = f"p-{number:03d}"
    full_name = f"{kind} {name}"
    body = {
        "product_id": product_id,
        "sku": f"{category[:3]}-{number:03d}",
        "category": category,
        "name": full_name,
        "price": price,
    }
    return Product(product_id, full_name, category, price, orjson.dumps(body).decode()[1:-1])


_KINDS: Final = ("mild", "dark", "organic", "small", "spicy", "classic", "fresh", "royal")
_NAMES: Final = (
    ("espresso", "coffee"),
    ("filter coffee", "coffee"),
    ("green tea", "tea"),
    ("herbal tea", "tea"),
    ("granola", "breakfast"),
    ("honey", "breakfast"),
    ("pasta sauce", "pantry"),
    ("olive oil", "pantry"),
    ("chocolate", "snacks"),
    ("nut mix", "snacks"),
    ("hand soap", "care"),
    ("candle", "home"),
)

PRODUCTS: Final = tuple(
    _product(number, kind, name, category)
    for number, (kind, name, category) in enumerate(
        ((kind, name, category) for name, category in _NAMES for kind in _KINDS), start=1
    )
)

#: `context` objects in JSON.
CONTEXTS: Final = tuple(
    orjson.dumps(
        {
            "channel": channel,
            "library": {"name": library, "version": version},
            "os": {"name": os_name},
            "locale": locale,
            "timezone": zone,
        }
    ).decode()
    for channel, library, version, os_name in (
        ("browser", "analytics.js", "2.11.1", "Windows"),
        ("browser", "analytics.js", "2.11.1", "macOS"),
        ("mobile", "analytics-ios", "4.1.6", "iOS"),
        ("mobile", "analytics-android", "4.10.4", "Android"),
    )
    for locale, zone in (("en-GB", "Europe/London"), ("de-DE", "Europe/Berlin"), ("fr-FR", "Europe/Paris"))
)
