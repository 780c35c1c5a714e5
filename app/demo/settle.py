"""Waiting until every event that was sent has gone its whole way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from app.demo.stage import Stage
from app.errors import AppError
from streams.warehouse.errors import NoSnapshot
from streams.warehouse.query import summary
from streams.warehouse.snapshot import newest

_LOOK_EVERY_S = 0.25
_CALM_LOOKS = 4


async def settle(
    stage: Stage, sent: int, tell: Callable[[str], None], stop: asyncio.Event, stalled_after_s: float
) -> float:
    """Return once nothing is on its way any more, or `stop` is set; the result is when the worker had finished.

    The result is in monotonic seconds.

    Raises
    ------
    AppError
        A role ended, or nothing moved for `stalled_after_s` seconds; the message says what is missing.
    """
    moved, calm, finished = time.monotonic(), 0, 0.0
    before: list[str] = []
    while calm < _CALM_LOOKS and not stop.is_set():
        missing, worker_done = await _missing(stage, sent)
        finished = finished or (time.monotonic() if worker_done else 0.0)
        calm = calm + 1 if not missing else 0
        if missing:
            tell(missing[0])
        if missing != before:
            moved, before = time.monotonic(), missing
        if time.monotonic() - moved > stalled_after_s:
            msg = f"nothing moved for {stalled_after_s:.0f} s: {'; '.join(missing)}"
            raise AppError(msg)
        await asyncio.sleep(_LOOK_EVERY_S)
    return finished


async def _missing(stage: Stage, sent: int) -> tuple[list[str], bool]:
    """What is still on its way, in the order of the way; and whether the worker has everything behind it."""
    answers = await stage.statuses()
    status: dict[str, dict[str, Any]] = {role: answer.status for role, answer in answers.items()}
    worker, missing = status["worker"], []
    lag = sum(worker.get("lag", {}).values())
    if worker.get("events", 0) < sent or lag:
        missing.append(f"worker has read {worker.get('events', 0):,} of {sent:,} events, {lag:,} not settled")
    worker_done = not missing
    trainer = status["trainer"]
    judged = trainer.get("examples", 0) + trainer.get("waiting", 0) + sum(trainer.get("skipped", {}).values())
    if judged < worker.get("examples", 0):
        missing.append(f"trainer has taken {judged:,} of {worker.get('examples', 0):,} examples")
    stored = await asyncio.to_thread(_stored, stage)
    if stored[0] < worker.get("scores", 0) or stored[1] < worker.get("examples", 0):
        missing.append(
            f"snapshot holds {stored[0]:,} of {worker.get('scores', 0):,} scores, {stored[1]:,} of "
            f"{worker.get('examples', 0):,} labels"
        )
    if status["sync"].get("pending", 0) or sum(status["sync"].get("lag", {}).values()):
        missing.append(f"sync has {status['sync'].get('pending', 0):,} customers to deliver")
    return missing, worker_done


def _stored(stage: Stage) -> tuple[int, int]:
    """Scores and told labels in the newest snapshot."""
    try:
        info = summary(newest(stage.settings.data_dir))["snapshot"]
    except NoSnapshot:
        return 0, 0
    return info["scores_history"], info["told"]
