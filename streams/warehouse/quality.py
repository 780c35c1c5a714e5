"""How good the emitted probabilities were: measures of the ledger's rows, for each midnight and the newest time.

Cohorts look at the newest features that were told of the customer until the time of the prediction: those of its own
score if it was told, else the last ones before it, which are at most `score.refresh_every_s` older.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt

from models.evaluation import EMITTED, Cohort, Evaluation, EvaluationRows, Interval, estimate, evaluate, reliability
from models.evaluation.profit import profit_above
from models.evaluation.windows import WINDOWS_DAYS
from models.settings import LabelSettings, OfferSettings
from streams.warehouse.findings import DAY_S, Bin, Metric

Doubles = npt.NDArray[np.float64]

#: More predictions than this are thinned out by whole customers, which bounds memory and time.
_MOST_ROWS = 500_000
_MOST_MODELS = 16
_BINS = 10
_BIN_WINDOWS: tuple[float | None, ...] = (90.0, None)
_CHOSEN = "horizon_days = ? AND gap_days = ? AND label_kind = ? AND status <> 'void'"

# A score says its time in milliseconds, the ledger in microseconds.
_WITH_FEATURES = """
ASOF LEFT JOIN features ON labels.customer_id = features.customer_id
    AND labels.as_of + INTERVAL 1 MILLISECOND >= features.as_of"""


class Ledger(msgspec.Struct, frozen=True):
    """The predictions of one horizon: with rule and prior beside them, what models said (NaN: nothing), cohorts."""

    horizon_days: float
    length_s: float
    rows: EvaluationRows
    own: dict[str, Doubles]
    cohorts: dict[str, Any]


def read_ledger(
    connection: duckdb.DuckDBPyConnection, label: LabelSettings, horizon_days: float, cohorts: tuple[Cohort, ...]
) -> Ledger:
    """The rows of `labels` of one horizon under the label's definition, void ones left out."""
    chosen = [horizon_days, label.gap_days, label.kind]
    count = connection.execute(f"SELECT count(*) FROM labels WHERE {_CHOSEN}", chosen).fetchall()[0][0]  # noqa: S608
    models = connection.execute(
        f"SELECT DISTINCT unnest(map_keys(own)) AS name FROM labels WHERE {_CHOSEN} ORDER BY name LIMIT {_MOST_MODELS}",  # noqa: S608
        chosen,
    ).fetchall()
    names = [name for (name,) in models]
    features = list(dict.fromkeys(feature for cohort in cohorts for feature in cohort.features))
    columns = _columns(connection, names, features, chosen, math.ceil(count / _MOST_ROWS))
    rows = EvaluationRows(
        customer=columns["customer"],
        as_of=columns["as_of"],
        due_at=columns["due_at"],
        label=columns["label"],
        probability=columns["probability"],
        references={"rule": columns["rule"], "prior": columns["prior"]},
    )
    known = {feature: columns[f"feature_{i}"] for i, feature in enumerate(features)}
    return Ledger(
        horizon_days,
        (horizon_days + label.gap_days) * DAY_S,
        rows,
        {name: columns[f"own_{i}"] for i, name in enumerate(names)},
        {cohort.name: cohort.mask(known) for cohort in cohorts},
    )


def _columns(
    connection: duckdb.DuckDBPyConnection, models: list[str], features: list[str], chosen: list[Any], every: int
) -> dict[str, Any]:
    there = {name for (name,) in connection.execute("SELECT column_name FROM (DESCRIBE features)").fetchall()}
    own = "".join(f", own[?] AS own_{i}" for i in range(len(models)))
    # Names of features are those of the registry, and checked to be columns.
    wanted = "".join(
        f', "{name}" AS feature_{i}' if name in there else f", NULL::DOUBLE AS feature_{i}"
        for i, name in enumerate(features)
    )
    thin = f"AND hash(labels.customer_id) % {every} = 0" if every > 1 else ""
    found = connection.execute(
        f"SELECT hash(labels.customer_id) AS customer, epoch(labels.as_of) AS as_of, epoch(due_at) AS due_at, "  # noqa: S608
        f"label::DOUBLE AS label, probability, rule_probability AS rule, prior_probability AS prior{own}{wanted} "
        f"FROM labels {_WITH_FEATURES if wanted else ''} WHERE {_CHOSEN} {thin}",
        [*models, *chosen],
    ).fetchnumpy()
    return {name: column if name == "customer" else filled(column) for name, column in found.items()}


def filled(column: Any) -> Doubles:
    """A column of DuckDB with NaN for NULL."""
    return np.asarray(np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan), dtype=np.float64)


def measured(ledger: Ledger, at: float, offer: OfferSettings) -> list[Metric]:
    """Realised and estimated measures of all predictors over the windows that end `at`, epoch seconds."""
    found = [
        metric
        for one in evaluate(ledger.rows, at, offer, cohorts=ledger.cohorts)
        for metric in _realised(ledger, at, one, one.predictor)
    ]
    for name, said in ledger.own.items():
        chosen = np.isfinite(said)
        rows = msgspec.structs.replace(ledger.rows.where(chosen), probability=said[chosen], references={})
        found += [metric for one in evaluate(rows, at, offer) for metric in _realised(ledger, at, one, name)]
    return [*found, *_estimated(ledger, at, offer)]


def bins(ledger: Ledger, at: float) -> list[Bin]:
    """The reliability table of the emitted probabilities, for the windows that end `at`."""
    rows, found = ledger.rows, []
    for days in _BIN_WINDOWS:
        chosen = np.isfinite(rows.label) & (rows.due_at <= at)
        chosen = chosen if days is None else chosen & (rows.due_at > at - days * DAY_S)
        for number, one in enumerate(reliability(rows.label[chosen], rows.probability[chosen], _BINS)):
            found.append(
                Bin(
                    as_of=at, horizon_days=ledger.horizon_days, window_days=days, bin=number, lowest=one.lowest,
                    highest=one.highest, predictions=one.count, positives=one.positives,
                    probability=one.probability, rate=one.rate, low=one.low, high=one.high,
                )
            )  # fmt: skip
    return found


def _realised(ledger: Ledger, at: float, one: Evaluation, predictor: str) -> Iterator[Metric]:
    if not one.rows:
        return

    def metric(measure: str, value: Interval, reference: str | None = None) -> Metric:
        return Metric(
            as_of=at, horizon_days=ledger.horizon_days, window_days=one.window_days, cohort=one.cohort,
            predictor=predictor, kind="realised", measure=measure, reference=reference, value=_number(value.value),
            low=_number(value.low), high=_number(value.high), predictions=one.rows, customers=one.customers,
            positives=one.positives,
        )  # fmt: skip

    # Too few for measures: how many there are is told all the same.
    known = one.measures or {"rate": Interval(one.positives / one.rows, math.nan, math.nan)}
    for measure, value in known.items():
        yield metric(measure, value)
    for reference, differences in one.against.items():
        for measure, value in differences.items():
            yield metric(measure, value, reference)


def _estimated(ledger: Ledger, at: float, offer: OfferSettings) -> Iterator[Metric]:
    """What is to be expected of predictions made in windows that end `at`, and of all whose horizon has not ended."""
    rows = ledger.rows
    made, every = rows.as_of <= at, np.ones(len(rows.as_of), dtype=bool)
    for cohort, mask in {"all": every, **ledger.cohorts}.items():
        for days in (*WINDOWS_DAYS, None):
            inside = rows.due_at > at if days is None else rows.as_of > at - days * DAY_S
            chosen = made & mask & inside & np.isfinite(rows.probability)
            if not chosen.any():
                continue
            told = rows.where(chosen)
            for predictor, said in {EMITTED: told.probability, **told.references}.items():
                yield from _expected(ledger, at, days, cohort, predictor, told, said, offer)


def _expected(
    ledger: Ledger, at: float, days: float | None, cohort: str, predictor: str, told: EvaluationRows, said: Doubles,
    offer: OfferSettings,
) -> Iterator[Metric]:  # fmt: skip
    values: Mapping[str, Interval] = estimate(told.customer, told.probability, said)
    profit = profit_above(told.probability, said, offer) / len(said)
    customers = len(np.unique(told.customer))
    for measure, value in {**values, "profit": Interval(profit, math.nan, math.nan)}.items():
        yield Metric(
            as_of=at, horizon_days=ledger.horizon_days, window_days=days, cohort=cohort, predictor=predictor,
            kind="estimated", measure=measure, value=_number(value.value), low=_number(value.low),
            high=_number(value.high), predictions=len(said), customers=customers, positives=None,
            realised_at=None if days is None else at + ledger.length_s,
        )  # fmt: skip


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
