"""Ends a role that is alive but does not move: readiness says so first, then its stacks are dumped and it goes.

It runs in a thread of its own, so that a blocked event loop cannot stop it, and arms the interpreter's own timer
in case something holds the interpreter itself (a regular expression that never ends, for example).

Progress is what the role reports with `Telemetry.progress`:

- worker: a turn became durable, a partition's state is being read, or nothing is left to read;
- trainer: a chunk was learned, or none waits;
- warehouse: a round of reading, storing and publishing was done, with or without records;
- sync: every lane's loop went round, with or without deliveries.

So a role that is idle moves too, and one whose broker is away stops moving when there is work it cannot finish.
The limit is `worker.exit_after_s`; time in which the process itself was stopped does not count.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from streams.telemetry import Telemetry

log = logging.getLogger(__name__)

#: Exit status of a role that was ended for not moving: EX_SOFTWARE.
EXIT_STATUS = 70
_LOOKS = 20
_LONGEST_LOOK_S = 5.0


class Watchdog:
    """Watches while the `with` block runs. `end` is called with the exit status and must not return."""

    def __init__(self, telemetry: Telemetry, exit_after_s: float, end: Callable[[int], Any] = os._exit) -> None:
        self._telemetry = telemetry
        self._exit_after_s = exit_after_s
        self._every_s = min(_LONGEST_LOOK_S, exit_after_s / _LOOKS)
        self._end = end
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        silent_s, moves = 0.0, -1
        while not self._over.is_set():
            self._arm()
            began = time.monotonic()
            if self._over.wait(self._every_s):
                return
            # More than that means that this process stood still, not only the role.
            silent_s += min(time.monotonic() - began, 2 * self._every_s)
            if self._telemetry.moves != moves:
                silent_s, moves = 0.0, self._telemetry.moves
            if silent_s > self._exit_after_s:
                self._give_up(silent_s)
                return

    def _arm(self) -> None:
        """Let the interpreter's timer, which needs no lock of it, end the process if this thread cannot run.

        It has twice the time, as it also counts while the process is stopped.
        """
        faulthandler.dump_traceback_later(2 * self._exit_after_s, exit=True)

    def _give_up(self, silent_s: float) -> None:
        log.critical(
            "role does not move, ending it",
            extra={"role": self._telemetry.role, "silent_s": round(silent_s), "allowed_s": self._exit_after_s},
        )
        dump_stacks()
        self._end(EXIT_STATUS)


def dump_stacks() -> None:
    """Write where every thread and every asyncio task of this process stands to standard error."""
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    for found in gc.get_objects():
        # Looked for among all objects, as asyncio lists only the tasks of the loop that is asked for.
        if issubclass(type(found), asyncio.Task) and not found.done():
            print(f"\nTask {found.get_name()}:", file=sys.stderr)
            found.print_stack(file=sys.stderr)
    sys.stderr.flush()
