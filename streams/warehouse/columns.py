"""Rows to Arrow tables, column by column, which DuckDB then reads in bulk without a copy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from models.records import LabelRecord, Reason
from streams.warehouse.decode import ScoreRow

_TIME = pa.timestamp("us")


def score_table(rows: Sequence[ScoreRow]) -> Any:
    """The columns of `scores` and `scores_history`, in their order."""
    scores = [row.score for row in rows]
    columns: dict[str, Any] = {
        "customer_id": pa.array([s.customer_id for s in scores], pa.string()),
        "score_id": pa.array([s.score_id for s in scores], pa.string()),
        "revision": pa.array([s.revision for s in scores], pa.int64()),
        "probability": pa.array([s.probability for s in scores], pa.float64()),
        "band": pa.array([s.band for s in scores], pa.string()),
        "likelihood_to_churn": pa.array([s.likelihood_to_churn for s in scores], pa.bool_()),
        "eligible": pa.array([s.eligible for s in scores], pa.bool_()),
        "percentile": pa.array([s.percentile for s in scores], pa.float64()),
        "horizon_days": pa.array([s.horizon_days for s in scores], pa.float64()),
        "label_kind": pa.array([s.label_kind for s in scores], pa.string()),
        "reasons": _reasons(rows),
        "model_name": pa.array([s.model.name for s in scores], pa.string()),
        "model_version": pa.array([s.model.version for s in scores], pa.string()),
        "feature_version": pa.array([s.feature_version for s in scores], pa.string()),
        "source_offsets": _source_offsets(rows),
        "as_of": pa.array([row.as_of_us for row in rows], _TIME),
        "event_watermark": pa.array([row.event_watermark_us for row in rows], _TIME),
        "scored_at": pa.array([row.scored_at_us for row in rows], _TIME),
        "other_horizons": _map([s.other_horizons for s in scores]),
        "schema_version": pa.array([s.schema_version for s in scores], pa.int64()),
        "generation": pa.array([row.generation for row in rows], pa.int64()),
    }
    return pa.table(columns)


def feature_table(rows: Sequence[ScoreRow]) -> Any:
    """The columns of `features`: the keys, then one per name in the rows' features; null where a row lacks it."""
    columns: dict[str, Any] = {
        "customer_id": pa.array([row.score.customer_id for row in rows], pa.string()),
        "as_of": pa.array([row.as_of_us for row in rows], _TIME),
        "score_id": pa.array([row.score.score_id for row in rows], pa.string()),
    }
    vectors = [row.score.features for row in rows]
    return pa.table(columns | (_uniform(vectors) or _mixed(vectors)))


def _uniform(vectors: Sequence[dict[str, float | None]]) -> dict[str, Any] | None:
    """The columns of vectors that all have the same names, as those of one feature version do; else None."""
    names = list(vectors[0])
    if len(names) < 2 or any(len(vector) != len(names) for vector in vectors):
        return None
    try:
        values = list(chain.from_iterable(map(itemgetter(*names), vectors)))
    except KeyError:
        return None
    # numpy takes None for NaN, and JSON has no other NaN, so NaN can become null again.
    matrix = np.ascontiguousarray(np.array(values, np.float64).reshape(len(vectors), len(names)).T)
    return {name: pa.array(column, from_pandas=True) for name, column in zip(names, matrix, strict=True)}


def _mixed(vectors: Sequence[dict[str, float | None]]) -> dict[str, Any]:
    names = dict.fromkeys(chain.from_iterable(vectors))
    return {name: pa.array([vector.get(name) for vector in vectors], pa.float64()) for name in names}


def label_table(records: Sequence[LabelRecord]) -> Any:
    """The columns of `labels`, in their order."""
    columns: dict[str, Any] = {
        **_keys(records),
        "gap_days": pa.array([r.gap_days for r in records], pa.float64()),
        "label_kind": pa.array([r.label_kind for r in records], pa.string()),
        "status": pa.array([r.status for r in records], pa.string()),
        "outcome": pa.array([r.outcome for r in records], pa.string()),
        "label": pa.array([r.label for r in records], pa.int64()),
        "probability": pa.array([r.probability for r in records], pa.float64()),
        "rule_probability": pa.array([r.rule_probability for r in records], pa.float64()),
        "prior_probability": pa.array([r.prior_probability for r in records], pa.float64()),
        "own": _map([r.own for r in records]),
        "model_name": pa.array([r.model.name for r in records], pa.string()),
        "model_version": pa.array([r.model.version for r in records], pa.string()),
        "feature_version": pa.array([r.feature_version for r in records], pa.string()),
        "known_at": _times([r.known_at for r in records]),
        "due_at": _times([r.due_at for r in records]),
    }
    return pa.table(columns)


def key_table(records: Sequence[LabelRecord]) -> Any:
    """The columns that name a row of `labels`."""
    return pa.table(_keys(records))


def _keys(records: Sequence[LabelRecord]) -> dict[str, Any]:
    return {
        "customer_id": pa.array([r.customer_id for r in records], pa.string()),
        "as_of": _times([r.as_of for r in records]),
        "horizon_days": pa.array([r.horizon_days for r in records], pa.float64()),
    }


def epoch_us(seconds: float) -> int:
    """Epoch seconds as the whole microseconds that a TIMESTAMP holds."""
    return round(seconds * 1e6)


def _times(seconds: Sequence[float]) -> Any:
    return pa.array([epoch_us(one) for one in seconds], _TIME)


def _map(maps: Sequence[dict[str, float]]) -> Any:
    keys = pa.array(list(chain.from_iterable(maps)), pa.string())
    values = pa.array(list(chain.from_iterable(one.values() for one in maps)), pa.float64())
    return pa.MapArray.from_arrays(_bounds([len(one) for one in maps]), keys, values)


def _reasons(rows: Sequence[ScoreRow]) -> Any:
    reasons = list(chain.from_iterable(row.score.reasons for row in rows))
    fields = [
        pa.array([reason.rank for reason in reasons], pa.int64()),
        pa.array([reason.feature for reason in reasons], pa.string()),
        pa.array([reason.value for reason in reasons], pa.float64()),
        pa.array([reason.contribution for reason in reasons], pa.float64()),
        pa.array([reason.typical for reason in reasons], pa.float64()),
        pa.array([reason.text for reason in reasons], pa.string()),
    ]
    structs = pa.StructArray.from_arrays(fields, names=list(Reason.__struct_fields__))
    return pa.ListArray.from_arrays(_bounds([len(row.score.reasons) for row in rows]), structs)


def _source_offsets(rows: Sequence[ScoreRow]) -> Any:
    maps = [row.score.source_offsets for row in rows]
    fields = [
        pa.array(list(chain.from_iterable(maps)), pa.string()),
        pa.array(list(chain.from_iterable(one.values() for one in maps)), pa.int64()),
    ]
    structs = pa.StructArray.from_arrays(fields, names=["source", "last_offset"])
    return pa.ListArray.from_arrays(_bounds([len(one) for one in maps]), structs)


def _bounds(lengths: Sequence[int]) -> Any:
    return pa.array(list(accumulate(lengths, initial=0)), pa.int32())
