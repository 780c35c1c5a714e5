"""Online = offline: features recomputed from the raw log by SQL, and compared with what the stream kept and served.

1. `ready` sees to it that the worker has applied what lies on the topics. `collect` then reads states, scores, source
   topics and what was refused (`log`) into a temporary DuckDB file (`store`); or an exported log is taken in again
   (`inputs`).
2. The SQL in `sql/` makes events of the raw bytes, and feature vectors of the events (`recompute`). It is written from
   the contract of events and features, one file per feature group, and shares no code with the worker. The one input
   that is not SQL is what words of conversations say (`sentiment`).
3. `compare` does so with all states as of one time, `served` with the newest score of each customer; `check` puts both
   together, and `report` says what was found. `labels` holds examples against the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from models.records import Example
from models.settings import Settings
from streams.verify.check import Sample, check
from streams.verify.collect import collect, collect_events
from streams.verify.inputs import CannotVerify, Inputs, export, newest_export, restore
from streams.verify.labels import WrongLabel, wrong_labels
from streams.verify.recompute import read_events
from streams.verify.report import Mismatch, Report, headline, lines
from streams.verify.store import open_store

__all__ = [
    "CannotVerify",
    "Inputs",
    "Mismatch",
    "Report",
    "WrongLabel",
    "headline",
    "label_mismatches",
    "lines",
    "newest_export",
    "verify",
    "verify_export",
]


async def verify(
    settings: Settings, *, customers: int | None = None, seed: int = 0, as_of: float | None = None,
    wait_s: float = 0.0, export_to: Path | None = None,
) -> Report:  # fmt: skip
    """Verify a running deployment against its own log.

    Parameters
    ----------
    customers
        How many to compare, drawn by `seed`; None compares all. Who is missing is always looked for among all.
    as_of
        The common time of the states in epoch seconds; see `check.check`.
    wait_s
        Seconds to wait until the worker has applied what is on the topics now.
    export_to
        Also write what was read to this folder, for `verify_export`.

    Raises
    ------
    CannotVerify
        Nothing can be compared; the message says why.
    models.state.StateError
        A state is not of this version.
    OSError
        `export_to` cannot be written.
    """
    with open_store() as store:
        inputs = await collect(settings, store, wait_s)
        if export_to is not None:
            await asyncio.to_thread(export, store, inputs, export_to)
        return await asyncio.to_thread(check, store, inputs, Sample(customers, seed), as_of)


def verify_export(folder: Path, *, customers: int | None = None, seed: int = 0, as_of: float | None = None) -> Report:
    """Verify an exported log again. Raises CannotVerify and models.state.StateError."""
    with open_store() as store:
        inputs = restore(store, folder)
        return check(store, inputs, Sample(customers, seed), as_of)


async def label_mismatches(settings: Settings, examples: Iterable[Example]) -> list[WrongLabel]:
    """The examples whose label is not what the raw log on the broker says. Raises CannotVerify."""
    with open_store() as store:
        await collect_events(settings, store)
        await asyncio.to_thread(read_events, store)
        return wrong_labels(store, examples, settings.label)
