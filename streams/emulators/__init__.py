"""Emulators of vendors: real HTTP servers that enforce what the vendor documents, and record what they accepted.

One file per vendor beside `base`; `registry` finds them by the type of the destination that they stand for. They
serve the tests, `ebbtide emulate`, and whoever wants to see a destination at work without an account.
"""

from __future__ import annotations

import importlib
import pkgutil

from streams.emulators.base import Emulator

_NOT_EMULATORS = frozenset({"base"})


def registry() -> dict[str, type[Emulator]]:
    """All emulators by the type of their destination, in order. Raises TypeError if a module declares none."""
    found: dict[str, type[Emulator]] = {}
    for module_info in pkgutil.iter_modules(__path__):
        if module_info.name in _NOT_EMULATORS:
            continue
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        declared: type[Emulator] | None = getattr(module, "EMULATOR", None)
        if declared is None:
            raise TypeError(f"{module.__name__} declares no emulator: set EMULATOR to its class")
        found[declared.kind] = declared
    return dict(sorted(found.items()))
