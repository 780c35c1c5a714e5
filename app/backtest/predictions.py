"""The Parquet file of all predictions.

While the backtest runs, predictions go to a file beside the one that is asked for, without labels. When it has ended
that file is read again in portions, every row gets its label, and the result takes its name. Memory holds a portion
of 100,000 rows (some 10 MB) and, once per customer, the id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.errors import AppError
from models.backtest.predictions import Predictions
from models.backtest.truth import OUTCOMES, Truth

_ROWS: Final = 100_000
_MODEL: Final = pa.dictionary(pa.int32(), pa.string())
_SPOOL: Final = pa.schema([
    ("customer", pa.int32()), ("as_of", pa.float64()), ("horizon_days", pa.float64()), ("probability", pa.float64()),
    ("rule_probability", pa.float64()), ("prior_probability", pa.float64()),
    ("model", pa.string()), ("model_version", pa.string()),
])  # fmt: skip
#: The public columns. `label` is null until the whole horizon has passed, and where there is nothing to learn.
SCHEMA: Final = pa.schema([
    ("customer_id", pa.string()), ("as_of", pa.timestamp("ms", "UTC")), ("horizon_days", pa.float64()),
    ("probability", pa.float64()), ("label", pa.int8()), ("outcome", _MODEL),
    ("rule_probability", pa.float64()), ("prior_probability", pa.float64()),
    ("model", _MODEL), ("model_version", _MODEL), ("feature_version", _MODEL),
])  # fmt: skip


class PredictionFile:
    """Use as a context, `add` predictions, then `finish`; without it nothing takes the file's name.

    Raises AppError when the file cannot be written.
    """

    def __init__(self, path: Path, feature_version: str) -> None:
        self._path, self._feature_version = path, feature_version
        self._spool = path.with_name(f"{path.name}.unlabelled")
        self._fresh = path.with_name(f"{path.name}.new")
        self._held: list[pa.RecordBatch] = []
        self._held_rows = 0
        self.rows = 0

    def __enter__(self) -> Self:
        with told(self._path):
            self._writer = pq.ParquetWriter(self._spool, _SPOOL, compression="lz4")
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._writer.close()
        self._spool.unlink(missing_ok=True)
        self._fresh.unlink(missing_ok=True)

    def add(self, one: Predictions) -> None:
        """Take the predictions of one flush."""
        count = len(one.customers)
        model = [pa.array([text], pa.string()).take(pa.array(np.zeros(count, np.int32))) for text in
                 (one.model.name, one.model.version)]  # fmt: skip
        columns = [
            pa.array(one.customers.astype(np.int32)), pa.array(np.full(count, one.as_of)),
            pa.array(np.full(count, one.horizon_days)), pa.array(one.probability), pa.array(one.rule),
            pa.array(one.prior), *model,
        ]  # fmt: skip
        self._held.append(pa.record_batch(columns, schema=_SPOOL))
        self._held_rows += count
        self.rows += count
        if self._held_rows >= _ROWS:
            self._write()

    def _write(self) -> None:
        if self._held:
            with told(self._path):
                self._writer.write_table(pa.Table.from_batches(self._held), row_group_size=_ROWS)
        self._held, self._held_rows = [], 0

    def finish(self, customers: Sequence[str], truth: Truth, known_until: float) -> None:
        """Label everything and give the file its name. `customers` are the ids by number."""
        self._write()
        with told(self._path):
            self._writer.close()
            ids = pa.array(customers, pa.string())
            with pq.ParquetWriter(self._fresh, SCHEMA, compression="zstd", compression_level=1) as out:
                for batch in _portions(self._spool):
                    out.write_table(self._labelled(batch, ids, truth, known_until), row_group_size=_ROWS)
            self._fresh.replace(self._path)

    def _labelled(self, rows: Any, ids: Any, truth: Truth, known_until: float) -> pa.Table:
        customers, as_of = rows["customer"].to_numpy(), rows["as_of"].to_numpy()
        horizons = rows["horizon_days"].to_numpy()
        outcomes = np.zeros(len(customers), dtype=np.int8)
        for days in np.unique(horizons).tolist():
            which = horizons == days
            outcomes[which] = truth.outcomes(customers[which], as_of[which], days, known_until)
        labels = truth.labels(outcomes)
        constant = pa.DictionaryArray.from_arrays(np.zeros(len(customers), np.int32), [self._feature_version])
        told = {
            "customer_id": ids.take(rows["customer"].combine_chunks()),
            "as_of": pa.array(np.round(as_of * 1000).astype("datetime64[ms]")).cast(pa.timestamp("ms", "UTC")),
            "label": pa.array(labels, mask=labels < 0),
            "outcome": pa.DictionaryArray.from_arrays(outcomes.astype(np.int32), list(OUTCOMES)),
            "model": rows["model"].combine_chunks().dictionary_encode(),
            "model_version": rows["model_version"].combine_chunks().dictionary_encode(),
            "feature_version": constant,
        }
        columns = [told.get(name, rows[name] if name in rows.column_names else None) for name in SCHEMA.names]
        return pa.table(columns, schema=SCHEMA)


def _portions(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn failures of the disk into one line."""
    try:
        yield
    except OSError as error:
        raise AppError(f"cannot write {str(path)!r}: {(error.strerror or str(error)).lower()}") from error
