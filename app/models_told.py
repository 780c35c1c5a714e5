"""How the models stand, as plain data and as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from models.churn.importance import importance
from models.churn.record import decode

if TYPE_CHECKING:
    from streams.steer import Told

Plain = dict[str, Any]
_MEASURES = ("auc", "log_loss", "brier", "ece")
_TOP = 15
_NARROWEST = 110


def listed(told: Told) -> Plain:
    """The league table, the versions that can be served, and the last moves, newest first."""
    history: Plain = msgspec.to_builtins(told.history)
    versions = history.pop("versions")
    pinned, served = versions["pinned"], history["served"]
    for one in history["standings"]:
        fresh = "~" in one["name"] and one["alias"] != "champion"
        one["alias"] = "fresh challenger" if fresh else one["alias"]
    kept = [one | {"alias": "pinned" if one["version"] == pinned else "kept"} for one in reversed(versions["kept"])]
    if not pinned:
        now = {"version": served, "champion": history["champion"], "at": history["clock"], "why": "newest"}
        kept = [now | {"offset": history["offset"], "examples": history["examples"], "alias": "champion"}, *kept]
    return history | {"pinned": pinned or None, "kept": kept, "moves": versions["moves"][::-1]}


def shown(told: Told, version: str) -> Plain:
    """One version in full. Raises models.churn.record.InvalidModel for a record that is none."""
    record = decode(told.records[version])
    form = record.forms[record.champion]
    moves = [msgspec.to_builtins(move) for move in told.history.versions.moves[::-1]]
    return {
        "version": record.version,
        "served": record.version == told.history.served,
        "champion": record.champion,
        "why": record.move or "the rule serves until another model has proved to be better",
        "label": {
            "key": record.key, "kind": record.label_kind, "horizon_days": record.horizon_days,
            "gap_days": record.gap_days,
        },
        "feature_version": record.feature_version,
        "features": len(record.columns),
        "examples": record.examples,
        "positives": record.positives,
        "offset": record.offset,
        "sha256": record.sha256,
        "forms": sorted(record.forms),
        "calibration": msgspec.to_builtins(record.calibrations.get(record.champion)),
        "metrics": _by_model(record.metrics),
        "importance": dict(list(importance(form, record.columns).items())[:_TOP]),
        "moves": moves,
    }  # fmt: skip


def _by_model(metrics: dict[str, float]) -> dict[str, dict[str, float]]:
    """`auc_emitted` and the like, by predictor."""
    found: dict[str, dict[str, float]] = {}
    for measure in _MEASURES:
        for name, value in metrics.items():
            if name.startswith(f"{measure}_"):
                found.setdefault(name.removeprefix(f"{measure}_"), {})[measure] = value
    return found


def print_list(data: Plain) -> None:
    """Three tables: models, versions, moves."""
    print(
        f"{data['key']}: {_served(data)} is served, {data['examples']:,} examples learned "
        f"({data['positives']:,} of customers who left), {data['waiting']:,} wait for their horizon"
    )
    models = [
        (
            one["name"], one["alias"], _number(one["recent_log_loss"], 4), f"{one['judged']:,}", f"{one['compared']:,}",
            "" if one["alias"] == "champion" else f"{one['evidence']:.0%}",
        )
        for one in data["standings"]
    ]  # fmt: skip
    title = f"promotion {data['promotion']}, error at most {data['promotion_error']:g}"
    _table(("model", "is", "recent log loss", "judged", "compared", "evidence"), models, title)
    versions = [
        (one["version"], one["alias"], one["champion"], _day(one["at"]), f"{one['examples']:,}", one["why"])
        for one in data["kept"]
    ]
    _table(("version", "is", "champion", "event time", "examples", "kept for"), versions)
    _print_moves(data["moves"])


def print_version(data: Plain) -> None:
    """The card of one version, its metrics, its weights, the history."""
    label = data["label"]
    print(f"{data['version']}{' (served)' if data['served'] else ''}: {data['champion']}, since {data['why']}")
    print(
        f"label {label['key']}: {label['kind']} within {label['horizon_days']:g} days, gap {label['gap_days']:g} days; "
        f"{data['examples']:,} examples, {data['positives']:,} of customers who left"
    )
    print(f"features {data['feature_version']} ({data['features']}); forms {', '.join(data['forms'])}")
    rows = [(name, *(_number(found.get(one), 4) for one in _MEASURES)) for name, found in data["metrics"].items()]
    _table(("predictor", "AUC", "log loss", "Brier", "ECE"), rows, "over all examples, before each was learned")
    _table(("feature", "weight"), [(name, f"{weight:+.4f}") for name, weight in data["importance"].items()])
    _print_moves(data["moves"])


def _served(data: Plain) -> str:
    return f"{data['served']}, pinned," if data["pinned"] else f"{data['champion']} ({data['served']})"


def _print_moves(moves: Iterable[Plain]) -> None:
    rows = [(_day(one["at"]), f"{one['examples']:,}", one["before"], one["after"], one["why"]) for one in moves]
    _table(("event time", "examples", "from", "to", "why"), rows, "what was served")


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], title: str | None = None) -> None:
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    Console(highlight=False, markup=False, width=max(console.width, _NARROWEST)).print(table)


def _day(at: float | None) -> str:
    return "" if not at else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
