"""What was served, day by day: the scores that were told, with their features, through the drift monitor."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt

from models.drift import PROBABILITY, DriftAlarm, DriftMonitor, InvalidSketch
from models.features import FEATURE_NAMES
from models.settings import DriftSettings
from streams.warehouse.findings import DAY_S, Drift

_LOG = logging.getLogger(__name__)

#: Scores of a day that are looked at; of more, an even share.
_MOST_ROWS = 50_000
_SHARES = (0.10, 0.25, 0.50, 0.75, 0.90)

_COUNT = "SELECT count(*) FROM scores_history WHERE as_of >= ? AND as_of < ? AND eligible"
_SERVED = """
SELECT {columns}, probability FROM (
    SELECT score_id, probability FROM scores_history
    WHERE as_of >= $first AND as_of < $end AND eligible AND hash(score_id) % $every = 0
) AS told JOIN (SELECT * FROM features WHERE as_of >= $first AND as_of < $end) AS vectors USING (score_id)"""


class DayWatch:
    """Observes whole days in order and makes the rows of `drift`. `state` is a checkpoint, empty to begin anew."""

    def __init__(self, settings: DriftSettings, state: str) -> None:
        self._monitor = DriftMonitor(settings, FEATURE_NAMES)
        if state:
            try:
                self._monitor = DriftMonitor.restore(msgspec.json.decode(state), settings, FEATURE_NAMES)
            except (InvalidSketch, msgspec.DecodeError) as error:
                _LOG.warning("drift is watched anew: %s", error)

    def state(self) -> str:
        """The checkpoint."""
        return msgspec.json.encode(self._monitor.checkpoint()).decode()

    def observe(self, connection: duckdb.DuckDBPyConnection, day: int) -> tuple[list[Drift], list[DriftAlarm]]:
        """The rows of a day (from 1970) and the alarms raised on it; nothing on a day without scores."""
        served = _served(connection, day)
        if not len(served):
            return [], []
        alarms = self._monitor.observe(day, served[:, :-1], served[:, -1])
        return list(self._rows(day, served, {alarm.feature: alarm for alarm in alarms})), alarms

    def _rows(self, day: int, served: npt.NDArray[np.float32], alarms: dict[str, DriftAlarm]) -> Iterator[Drift]:
        shifts, allowed, moved = self._monitor.shifts, self._monitor.allowed, self._monitor.moved
        for i, name in enumerate((*FEATURE_NAMES, PROBABILITY)):
            known = served[:, i][~np.isnan(served[:, i])]
            quantiles = np.quantile(known, _SHARES).tolist() if len(known) else [None] * len(_SHARES)
            alarm = alarms.get(name)
            yield Drift(
                day=day, feature=name, predictions=len(served), null_rate=1.0 - len(known) / len(served),
                mean=float(known.mean(dtype=np.float64)) if len(known) else None,
                q10=quantiles[0], q25=quantiles[1], q50=quantiles[2], q75=quantiles[3], q90=quantiles[4],
                psi=shifts[i].psi if shifts else None,
                allowed=allowed[i] if allowed and math.isfinite(allowed[i]) else None,
                moved=name in moved, alarm=alarm is not None,
                since=alarm.since if alarm else None, sentence=alarm.sentence if alarm else None,
            )  # fmt: skip


def _served(connection: duckdb.DuckDBPyConnection, day: int) -> npt.NDArray[np.float32]:
    """What was told on a day: rows x (features in registry order and the probability), NaN where unknown."""
    first, end = (datetime.fromtimestamp(one * DAY_S, UTC).replace(tzinfo=None) for one in (day, day + 1))
    count = connection.execute(_COUNT, [first, end]).fetchall()[0][0]
    if not count:
        return np.empty((0, len(FEATURE_NAMES) + 1), np.float32)
    there = {name for (name,) in connection.execute("SELECT column_name FROM (DESCRIBE features)").fetchall()}
    columns = ", ".join(f'vectors."{name}"' if name in there else f'NULL::DOUBLE AS "{name}"' for name in FEATURE_NAMES)
    given: dict[str, Any] = {"first": first, "end": end, "every": math.ceil(count / _MOST_ROWS)}
    found = connection.execute(_SERVED.format(columns=columns), given).fetchnumpy()
    return np.column_stack(
        [np.ma.filled(np.ma.asarray(column).astype(np.float32), np.nan) for column in found.values()]
    )
