"""Where events come from when no producer sends them: files, and data sets that are told as events.

A source is an iterable of `SourceEvent`; `streams.replay` sends them to the broker. `models.simulator` makes
events of the same four fields. `registry` finds the named ones: a module of this package with a `SOURCE` is one.
"""

from streams.sources.event import SourceError, SourceEvent
from streams.sources.files import read_file, read_files

__all__ = ["SourceError", "SourceEvent", "read_file", "read_files"]
