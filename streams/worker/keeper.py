"""The local files of one worker: where they lie, and writing them beside the work.

A snapshot is written in a thread, one at a time per process. Its content is fixed before (`Engine.dump` copies), so
turns go on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from urllib.parse import quote

from models.settings import Settings
from models.table import TableDump
from streams.worker.attic import Attic, AtticUnusable
from streams.worker.local import SnapshotHeader, remove_scratch, write_snapshot
from streams.worker.signals import WorkerSignals

log = logging.getLogger(__name__)


class Keeper:
    """See the module's docstring."""

    def __init__(self, settings: Settings, signals: WorkerSignals) -> None:
        worker = settings.worker
        self.keeps_snapshots = worker.snapshot_every_s > 0
        self._evicts = worker.evict_after_days > 0
        prefix = settings.broker.topic_prefix or "default"
        self._folder = Path(settings.data_dir) / "state" / quote(prefix, safe="") / quote(worker.app_id, safe="")
        self._signals = signals
        self._one_at_a_time = asyncio.Lock()
        self._writing: dict[int, set[asyncio.Task[None]]] = {}

    def path(self, number: int) -> Path:
        """The snapshot of a partition."""
        return self._folder / f"p{number}.snapshot"

    async def open_attic(self, number: int) -> Attic | None:
        """The attic of a partition; None where nothing is kept on disk, or it cannot be."""
        if not self.keeps_snapshots and not self._evicts:
            return None
        try:
            return await asyncio.to_thread(Attic, self._folder / f"p{number}.attic")
        except AtticUnusable as exc:
            log.error("partition %d goes on without local state: %s", number, exc)
            self._signals.snapshot("failed")
            return None

    def note(self, outcome: str) -> None:
        """Count what became of a snapshot."""
        self._signals.snapshot(outcome)

    @property
    def busy(self) -> bool:
        """Whether a snapshot is being written or waits to be."""
        return any(self._writing.values())

    async def settle(self, number: int) -> None:
        """Wait until nothing is being written for a partition, and remove what killed writers left."""
        await asyncio.gather(*self._writing.get(number, ()), return_exceptions=True)
        await asyncio.to_thread(remove_scratch, self._folder, self.path(number).name)

    def write(self, header: SnapshotHeader, dump: TableDump) -> None:
        """Write a snapshot beside the work."""
        writing = self._writing.setdefault(header.partition, set())
        task = asyncio.ensure_future(self._write(header, dump))
        writing.add(task)
        task.add_done_callback(writing.discard)

    async def close(self, within_s: float) -> None:
        """Wait for what is being written, for so many seconds at the most."""
        tasks = [task for writing in self._writing.values() for task in writing]
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, header: SnapshotHeader, dump: TableDump) -> None:
        async with self._one_at_a_time:
            started = time.monotonic()
            try:
                size = await asyncio.to_thread(write_snapshot, self.path(header.partition), header, dump)
            except OSError as exc:
                # The changelog holds everything; only the next restart is slower.
                log.error("cannot write the local state of partition %d: %s", header.partition, exc)
                self._signals.snapshot("failed")
                return
        self._signals.snapshot("written")
        log.info(
            "partition %d kept locally: %d customers, %.1f MB in %.1f s",
            header.partition, len(dump.ids), size / 1e6, time.monotonic() - started,
        )  # fmt: skip
