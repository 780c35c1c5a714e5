"""The result of a backtest that has ended, and the JSON file of it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from app.backtest.job import Done, Plan
from app.errors import AppError
from models.audit import Facts, verdict
from models.backtest.audit import Auditor, AuditReport
from models.backtest.judge import judge_horizon
from models.backtest.result import Data, Ended, Horizon, Result, Served
from models.backtest.rows import Judged, judged
from models.features import FEATURE_VERSION, FEATURES
from models.features.layout import DAY_S
from models.labels import horizons_of
from models.scoring import iso
from models.settings import Settings

_PACKAGES = ("ebbtide", "river", "numpy", "pyarrow")


def assemble(done: Done, plan: Plan, settings: Settings) -> Result:
    """Judge what was predicted. Raises AppError when nothing was."""
    backtest = done.backtest
    if not done.sample.cutoffs:
        refused = ", ".join(f"{reason} {count:,}" for reason, count in sorted(backtest.refused.items()))
        raise AppError(
            f"nobody was predicted: no customer was in the cohort at any step of {backtest.events:,} events "
            f"(refused: {refused or 'none'}); see --label and --from"
        )
    ended: Ended = "stopped" if done.stopped else "fault" if done.fault else "complete"
    timings = {name: round(value, 3) for name, value in msgspec.to_builtins(done.timings).items()}
    timings["predictions"] = done.predictions
    return Result(
        ended=ended,
        fault=done.fault,
        data=_data(done, plan),
        every_days=plan.every_s / DAY_S,
        sufficiency=verdict(_facts(done, settings), settings.sufficiency),
        offer=settings.offer,
        served=[Served(since=iso(at), model=name) for at, name in backtest.served],
        horizons=[_horizon(done, days, settings) for days in horizons_of(settings.label)],
        audit=None if done.auditor is None else _audit(done, done.auditor, settings),
        timings=timings,
        versions={"features": FEATURE_VERSION, "model": backtest.model.version} | _versions(),
    )


def _facts(done: Done, settings: Settings) -> Facts:
    backtest, learner = done.backtest, done.backtest.learning.first
    return Facts(
        labels=learner.examples,
        positives=learner.positives,
        history_days=(backtest.newest - backtest.oldest) / DAY_S,
        horizon_days=settings.label.horizon_days,
        event_types=len(backtest.names),
    )


def _audit(done: Done, auditor: Auditor, settings: Settings) -> AuditReport:
    backtest = done.backtest
    rows = _rows(done, settings.label.horizon_days, settings)
    return auditor.judge(rows, backtest.customers, FEATURES, backtest.known_until)


def _rows(done: Done, days: float, settings: Settings) -> Judged:
    backtest = done.backtest
    return judged(done.sample.cutoffs, backtest.truth, days, settings.label.gap_days, backtest.known_until)


def _horizon(done: Done, days: float, settings: Settings) -> Horizon:
    backtest = done.backtest
    rows, model = _rows(done, days, settings), backtest.models[days]
    return judge_horizon(rows, settings.label, settings.offer, model, FEATURES, backtest.known_until)


def _data(done: Done, plan: Plan) -> Data:
    backtest = done.backtest
    return Data(
        sources=list(plan.sources),
        events=backtest.events,
        applied=backtest.outcomes["applied"],
        duplicates=backtest.outcomes["duplicate"],
        late=(backtest.ordered.late if backtest.ordered else 0),
        refused=dict(sorted(backtest.refused.items())),
        customers=len(backtest.customers),
        first_event=iso(backtest.oldest),
        last_event=iso(backtest.newest),
        known_until=iso(backtest.known_until),
        judged_share_of_customers=done.sample.share,
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def write_json(path: str, result: Result) -> None:
    """Write the result; numbers that are not defined or infinite are null. Raises AppError."""
    write(path, msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")


def write(path: str, data: bytes) -> None:
    """Write a file under its name only once it is complete. Raises AppError."""
    target = Path(path)
    fresh = target.with_name(f"{target.name}.new")
    try:
        fresh.write_bytes(data)
        fresh.replace(target)
    except OSError as error:
        raise AppError(f"cannot write {path!r}: {(error.strerror or str(error)).lower()}") from error
    finally:
        fresh.unlink(missing_ok=True)
