"""Named sources of events: every module of this package that offers a `SOURCE`, and files beside them.

What a user types is a file, a name such as `completejourney`, or a name with an argument: `simulator:customers=500`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from pkgutil import iter_modules
from typing import NamedTuple

from streams.sources.event import SourceError, SourceEvent
from streams.sources.files import read_file

#: Share of the whole (0 to 1) after so many events, up to such an event time.
Share = Callable[[int, float], float]


class Opened(NamedTuple):
    """Events in the order of their arrival, and how far a reader is, if that can be told."""

    events: Iterator[SourceEvent]
    share: Share | None = None


class NamedSource(NamedTuple):
    """`open` takes the text behind the colon, empty without one; it raises SourceError before the first event."""

    name: str
    usage: str
    summary: str
    open: Callable[[str], Opened]


@cache
def named_sources() -> dict[str, NamedSource]:
    """The sources of this package by name."""
    package = "streams.sources"
    folder = import_module(package).__path__
    names = sorted(found.name for found in iter_modules(folder))
    modules = [import_module(f"{package}.{name}") for name in names]
    found = [module.SOURCE for module in modules if hasattr(module, "SOURCE")]
    return {source.name: source for source in found}


def open_sources(texts: Sequence[str]) -> Opened:
    """Everything that was asked for, merged by time; each source keeps its own order.

    Raises
    ------
    SourceError
        A file is missing, or a named source cannot be had. Missing files are all named before the first event.
    """
    sources = named_sources()
    missing = [text for text in texts if not Path(text).is_file() and text.partition(":")[0] not in sources]
    if missing:
        names = ", ".join(source.usage for source in sources.values())
        raise SourceError(f"cannot read events: no such file: {', '.join(map(repr, missing))} (named sources: {names})")
    opened = [_open(text) for text in texts]
    if len(opened) == 1:
        return opened[0]
    return Opened(heapq.merge(*(one.events for one in opened), key=attrgetter("time")))


def _open(text: str) -> Opened:
    if Path(text).is_file():
        return Opened(read_file(Path(text)))
    name, _, argument = text.partition(":")
    return named_sources()[name].open(argument)


def pairs(name: str, argument: str, allowed: Iterable[str]) -> dict[str, str]:
    """The settings of `key=value,key=value`. Raises SourceError for anything else, and for keys not `allowed`."""
    found: dict[str, str] = {}
    known = sorted(allowed)
    usage = ", ".join(f"{key}=" for key in known)
    for part in filter(None, argument.split(",")):
        key, sign, value = part.partition("=")
        if not sign or key not in known:
            raise SourceError(f"cannot open source {name!r} with {part!r}, allowed: {usage}")
        found[key] = value
    return found
