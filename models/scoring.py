"""How a score is written down: the served vector, bands, ids and times."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from models.settings import ScoreSettings


def served(exact: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The vector as models see and examples keep it: four decimals, single precision."""
    return np.round(exact, 4).astype(np.float32)


def readable(row: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The same values as short decimals; casting them back to float32 gives `row` exactly."""
    return np.asarray(np.round(row.astype(np.float64), 4), dtype=np.float64)


def band_of(probability: float, settings: ScoreSettings) -> str:
    """low, medium, high or critical."""
    if probability >= settings.critical_from:
        return "critical"
    if probability >= settings.high_from:
        return "high"
    return "medium" if probability >= settings.medium_from else "low"


def score_id(customer_id: str, revision: int, as_of: str, model_version: str) -> str:
    """A stable id: the same score re-made after a crash carries the same one."""
    parts = f"{customer_id}\n{revision}\n{as_of}\n{model_version}"
    return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def iso(time: float) -> str:
    """ISO-8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
