"""The destinations: every module here except `base` declares one, and `registry` finds it."""

from __future__ import annotations

import importlib
import pkgutil

from streams.destinations.base import Destination

_NOT_DESTINATIONS = frozenset({"base"})


def registry() -> dict[str, type[Destination]]:
    """All destinations by name, in order of their names.

    Raises
    ------
    TypeError
        A module has no `DESTINATION`, or two have the same name.
    """
    found: dict[str, type[Destination]] = {}
    for module_info in pkgutil.iter_modules(__path__):
        if module_info.name in _NOT_DESTINATIONS:
            continue
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        declared: type[Destination] | None = getattr(module, "DESTINATION", None)
        if declared is None:
            raise TypeError(f"{module.__name__} declares no destination: set DESTINATION to its class")
        if declared.name in found:
            raise TypeError(f"two destinations are named {declared.name!r}: names must differ")
        found[declared.name] = declared
    return dict(sorted(found.items()))
