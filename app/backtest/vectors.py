"""The Parquet file of the feature vectors behind the predictions, as the model met them: for experiments elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.backtest.predictions import told
from models.backtest.predictions import Predictions

_ROWS: Final = 100_000


class VectorFile:
    """Use as a context, `add` predictions, then `finish`; without it nothing takes the file's name.

    Columns are `customer_id`, `as_of` and the features by name, null where a value is not known. There is one row per
    customer and time: predictions of other horizons than the first one are made from the same vectors.
    Raises AppError when the file cannot be written.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._path, self._fresh = path, path.with_name(f"{path.name}.new")
        values = [pa.field(name, pa.float32()) for name in names]
        self._schema = pa.schema([("customer_id", pa.string()), ("as_of", pa.timestamp("ms", "UTC")), *values])
        self._held: list[pa.RecordBatch] = []
        self._horizon_days: float | None = None

    def __enter__(self) -> Self:
        with told(self._path):
            self._writer = pq.ParquetWriter(self._fresh, self._schema, compression="zstd", compression_level=1)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._writer.close()
        self._fresh.unlink(missing_ok=True)

    def add(self, one: Predictions, customers: Sequence[str]) -> None:
        """Take the vectors of one step. `customers` are the ids by number."""
        if self._horizon_days not in (None, one.horizon_days):
            return
        self._horizon_days = one.horizon_days
        ids = pa.array([customers[number] for number in one.customers.tolist()], pa.string())
        as_of = np.full(len(ids), round(one.as_of * 1000)).astype("datetime64[ms]")
        columns = [pa.array(column, pa.float32(), from_pandas=True) for column in one.features.T]
        when = pa.array(as_of).cast(pa.timestamp("ms", "UTC"))
        self._held.append(pa.record_batch([ids, when, *columns], schema=self._schema))
        if sum(map(len, self._held)) >= _ROWS:
            self._write()

    def finish(self) -> None:
        """Give the file its name."""
        self._write()
        with told(self._path):
            self._writer.close()
            self._fresh.replace(self._path)

    def _write(self) -> None:
        if self._held:
            with told(self._path):
                self._writer.write_table(pa.Table.from_batches(self._held), row_group_size=_ROWS)
        self._held = []
