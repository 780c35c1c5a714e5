"""The page's data: one plain dictionary made from the roles' answers and the newest snapshot.

Its shape is what `static/page.js` reads. A figure that nobody reported is null, never 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from app.probe import Answer

Plain = dict[str, Any]
_JUDGES = ("emitted", "rule", "prior")
_MEASURES = ("auc", "log_loss", "brier", "ece")


class Table(msgspec.Struct, frozen=True):
    """What the newest snapshot holds; times in epoch seconds. `problem` says why there is none."""

    name: str | None = None
    created_at: float | None = None
    bands: dict[str, int] = {}
    customers: tuple[Plain, ...] = ()
    quality: Plain = {}
    problem: str | None = None


def overview(now: float, answers: Sequence[Answer], table: Table, children: Mapping[str, Plain]) -> Plain:
    """Everything the page shows but the history. `children` is what a supervisor knows of its processes."""
    worker = _merged([answer.status for answer in answers if answer.role == "worker" and answer.up])
    trainer, warehouse, sync = (_status(answers, role) for role in ("trainer", "warehouse", "sync"))
    return {
        "now": now,
        "events": _figures(worker, "events", "events_per_s", "customers", "scores", "examples"),
        "watermark": worker.get("watermark"),
        "lag": _breakdown(worker.get("lag")),
        "quarantine": _breakdown(worker.get("quarantine")),
        "model": _model(trainer),
        "league": _league(trainer),
        "quality": table.quality,
        "deliveries": _breakdown(sync.get("deliveries")),
        "pending": _number(sync.get("pending")),
        "destinations": _destinations(sync),
        "warehouse": _figures(warehouse, "rows") | _snapshot(now, table),
        "bands": table.bands,
        "customers": list(table.customers),
        "roles": [_role(answer, children.get(answer.role, {})) for answer in answers],
    }


def sample(data: Plain) -> dict[str, float | None]:
    """The figures of one overview that are drawn over time (deliveries come as rates, elsewhere)."""
    metrics = data["model"]["metrics"]
    losses = {f"log_loss.{who}": metrics[who]["log_loss"] for who in _JUDGES}
    return {"events_per_s": data["events"]["events_per_s"], "lag": data["lag"]["total"]} | losses


def _merged(statuses: Sequence[Plain]) -> Plain:
    """Several workers as one: numbers added, tables of numbers added key by key, the oldest watermark."""
    if not statuses:
        return {}
    merged: Plain = {}
    for name in ("events", "events_per_s", "customers", "scores", "examples"):
        known = [number for status in statuses if (number := _number(status.get(name))) is not None]
        merged[name] = sum(known) if known else None
    for name in ("lag", "quarantine"):
        tables = [status[name] for status in statuses if name in status]
        merged[name] = _sum(map(_counts, tables)) if tables else None
    merged["watermark"] = min((status["watermark"] for status in statuses if status.get("watermark")), default=None)
    return merged


def _sum(tables: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for table in tables:
        total.update(table)
    return dict(total)


def _status(answers: Sequence[Answer], role: str) -> Plain:
    return next((answer.status for answer in answers if answer.role == role and answer.up), {})


def _figures(status: Plain, *names: str) -> Plain:
    return {name: _number(status.get(name)) for name in names}


def _breakdown(value: Any) -> Plain:
    """A table of counts and its total; the total is None if nobody reported the table."""
    parts = _counts(value)
    return {"total": sum(parts.values()) if isinstance(value, dict) else None, "parts": parts}


def _model(trainer: Plain) -> Plain:
    given = trainer.get("metrics")
    measured = given if isinstance(given, dict) else {}
    metrics = {who: {name: _number(measured.get(f"{name}_{who}")) for name in _MEASURES} for who in _JUDGES}
    return _figures(trainer, "examples", "positives") | {"served": trainer.get("served"), "metrics": metrics}


def _league(trainer: Plain) -> Plain:
    """Of the first horizon: what is served, since when and why, and the models that compete for it."""
    horizons = trainer.get("models")
    first = next((one for one in horizons.values() if isinstance(one, dict)), {}) if isinstance(horizons, dict) else {}
    moves, models = (
        [one for one in value if isinstance(one, dict)] if isinstance(value := first.get(name), list) else []
        for name in ("last_moves", "models")
    )
    move = moves[-1] if moves else {}
    standings = [
        {"name": str(one.get("name")), "alias": str(one.get("alias"))}
        | _figures(one, "judged", "compared", "recent_log_loss", "evidence")
        for one in models
    ]
    return {
        "served": _text(first.get("served")),
        "champion": _text(first.get("champion")),
        "why": _text(move.get("why") or first.get("why")),
        "since": _number(move.get("at")),
        "moves": _number(first.get("moves")),
        "standings": standings,
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _snapshot(now: float, table: Table) -> Plain:
    age_s = None if table.created_at is None else max(0.0, now - table.created_at)
    return {"snapshot": table.name, "created_at": table.created_at, "age_s": age_s, "problem": table.problem}


def _destinations(sync: Plain) -> Plain:
    """What holds deliveries up: the role's own state, and each destination's breaker."""
    lanes = sync.get("destinations")
    named = lanes.items() if isinstance(lanes, dict) else ()
    breakers = {str(name): lane.get("breaker") for name, lane in named if isinstance(lane, dict)}
    return {"state": sync.get("state"), "breakers": breakers}


def _role(answer: Answer, child: Plain) -> Plain:
    uptime_s = _number(answer.status.get("uptime_s"))
    frame = {"role": answer.role, "url": answer.url, "up": answer.up, "ready": answer.ready, "reason": answer.reason}
    return frame | {"uptime_s": uptime_s, "state": child.get("state"), "restarts": child.get("restarts")}


def _counts(value: Any) -> dict[str, int]:
    """A table of counts from a role, whatever it sent."""
    if not isinstance(value, dict):
        return {}
    return {str(key): int(count) for key, count in value.items() if _number(count) is not None}


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) < float("inf") else None
