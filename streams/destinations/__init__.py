"""The destinations: every module here except `base` declares one, and `registry` finds it.

`base` is the contract, `contract` holds what all of them share. `configured` makes those that the settings name.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from typing import Any

from models.settings import Settings
from streams.destinations.base import Destination, InvalidDestination
from streams.destinations.contract.options import Secret, read

_NOT_DESTINATIONS = frozenset({"base", "contract"})
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
#: The destination that `sync.webhook_url` configures.
WEBHOOK = "webhook"


def registry() -> dict[str, type[Destination[Any]]]:
    """All destinations by type, in order.

    Raises
    ------
    TypeError
        A module has no `DESTINATION`, or two have the same type.
    """
    found: dict[str, type[Destination[Any]]] = {}
    for module_info in pkgutil.iter_modules(__path__):
        if module_info.name in _NOT_DESTINATIONS:
            continue
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        declared: type[Destination[Any]] | None = getattr(module, "DESTINATION", None)
        if declared is None:
            raise TypeError(f"{module.__name__} declares no destination: set DESTINATION to its class")
        if declared.kind in found:
            raise TypeError(f"two destinations have the type {declared.kind!r}: types must differ")
        found[declared.kind] = declared
    return dict(sorted(found.items()))


def configured(settings: Settings, environ: Mapping[str, str]) -> dict[str, Destination[Any]]:
    """The destinations that the settings name, their secrets read from `environ` or files.

    Raises
    ------
    InvalidDestination
        With every fault of every destination.
    """
    made, faults = {}, []
    for name, prefix, table in _tables(settings):
        destination, found = _make(name, prefix, table, environ)
        faults += found
        if destination is not None:
            made[name] = destination
    if faults:
        raise InvalidDestination("; ".join(faults))
    return made


def faults_of(settings: Settings) -> Iterator[str]:
    """What is wrong with the settings of the destinations, secrets apart, which need not be at hand."""
    if WEBHOOK in settings.destinations and settings.sync.webhook_url:
        yield f"destinations.{WEBHOOK}: sync.webhook_url already makes a destination of this name; rename one"
    for name, prefix, table in _tables(settings):
        if prefix.startswith("destinations."):
            yield from _make(name, prefix, table, None)[1]


def _tables(settings: Settings) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    sync = settings.sync
    if sync.webhook_url:
        table: dict[str, Any] = {"type": WEBHOOK, "url": sync.webhook_url, "allow_private": sync.webhook_allow_private}
        yield WEBHOOK, "sync.webhook_", table | {"secret": Secret(sync.webhook_secret.encode())}
    for name, given in sorted(settings.destinations.items()):
        yield name, f"destinations.{name}.", given


def _make(
    name: str, prefix: str, table: Mapping[str, Any], environ: Mapping[str, str] | None
) -> tuple[Destination[Any] | None, list[str]]:
    if not _NAME.fullmatch(name):
        return None, [f"destinations: name {name!r}: allowed: up to 40 of a-z, 0-9, _ and -, a letter first"]
    known = registry()
    declared = known.get(str(table.get("type", "")))
    if declared is None:
        return None, [f"{prefix}type = {table.get('type', '')!r}: allowed: {', '.join(known)}"]
    given = {key: value for key, value in table.items() if key != "type"}
    options, faults = read(declared.options_type, given, prefix, environ)
    if options is None:
        return None, faults
    try:
        return declared(name, options, prefix), []
    except InvalidDestination as error:
        return None, [str(error)]
