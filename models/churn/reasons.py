"""Reasons for a score in words that a marketer understands: what is so, and what is typical.

How a feature is told is part of its declaration (`Feature.says`). Up to three templates, apart by `|`: for a value at
or above the typical one, for one below it (if left out, the same), and for one that is not known. A template has at
most one place for the amount, which names what is counted, in the plural: `{orders} in 30 days` is told as `no orders
in 30 days`, `1 order in 30 days` or `3 orders in 30 days`. The places `{days}`, `{money}`, `{times}`, `{share}` and
`{mood}` tell their amounts in their own ways.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from models.churn.forms.base import Matrix, Vector
from models.features import FEATURES
from models.features.base import Feature
from models.records import Reason

_PLACE = re.compile(r"\{([^{}]*)\}")
_BY_NAME = {feature.name: feature for feature in FEATURES}
#: Sentences that are kept per model; values repeat, as counts and whole days do.
_MEMORY = 20_000


class Sentences:
    """Tells the values of one feature, next to one typical value (None if that is not known)."""

    def __init__(self, feature: Feature, typical: float | None) -> None:
        says = feature.says or f"{feature.description}: {{{feature.unit}}}"
        above, below, unknown = [*(part.strip() for part in says.split("|")), "", ""][:3]
        self._above, self._below = _template(above), _template(below or above)
        self._unknown = unknown or f"{feature.description}: not known"
        yes_or_no = self._above.amount is None
        self._from = 0.5 if yes_or_no else (typical or 0.0)
        self._end = self._end_below = ""
        if typical is not None and yes_or_no:
            self._end, self._end_below = _true_of(typical), _true_of(1.0 - typical)
        elif typical is not None:
            self._end = self._end_below = f" (typical: {self._above.usual(typical)})"

    def of(self, value: float | None) -> str:
        """One sentence, without its full stop."""
        if value is None:
            return self._unknown
        template, end = (self._above, self._end) if value >= self._from else (self._below, self._end_below)
        amount = template.amount(value) if template.amount else ""
        return template.before + amount + template.after + end


class Explainer:
    """Picks and tells the reasons of the scores of one model.

    `echoes` are columns whose effect is real but which only repeat what the label says; they are no reasons.
    """

    def __init__(self, names: Sequence[str], typical: Sequence[float | None], label_kind: str) -> None:
        features = [_BY_NAME.get(name) or Feature(name, "", "", name.replace("_", " ")) for name in names]
        usual = typical or [None] * len(features)
        self._names = list(names)
        self._typical = [None if value is None else round(value, 4) for value in usual]
        self._sentences = [Sentences(*pair) for pair in zip(features, usual, strict=True)]
        self._echoes = [at for at, feature in enumerate(features) if label_kind in feature.echoes]
        self._told: dict[tuple[int, float | None], str] = {}

    def reasons(self, x: Matrix, sizes: Vector, top: int) -> list[tuple[Reason, ...]]:
        """For each row of `x` up to `top` columns of the largest `sizes`, the contributions (rows x columns).

        What raises the risk comes first, the largest first; then what lowers it, the largest first. Columns with no
        effect are left out and equal effects keep the order of the vector.
        """
        if not len(x):
            return []
        if self._echoes:
            sizes = sizes.copy()
            sizes[:, self._echoes] = 0.0
        # Sorted by the last key first: what raises, what lowers, what does nothing; then by size, then in order.
        order = np.lexsort((-np.abs(sizes), np.where(sizes == 0.0, 2, sizes < 0.0)), axis=1)[:, :top]
        moves, values = np.take_along_axis(sizes, order, axis=1), np.take_along_axis(x, order, axis=1)
        known = np.round(values.astype(np.float64), 4)
        rows = zip(order.tolist(), moves.tolist(), known.tolist(), strict=True)
        return [self._row(*row) for row in rows]

    def _row(self, columns: list[int], moves: list[float], values: list[float]) -> tuple[Reason, ...]:
        moved = [one for one in zip(columns, moves, values, strict=True) if one[1]]
        return tuple([self._reason(rank, *one) for rank, one in enumerate(moved, start=1)])

    def _reason(self, rank: int, column: int, size: float, value: float) -> Reason:
        known = None if value != value else value
        text = self._told.get((column, known))
        if text is None:
            if len(self._told) >= _MEMORY:
                self._told.clear()
            text = self._told[column, known] = self._sentences[column].of(known)
        return Reason(rank, self._names[column], known, size, self._typical[column], text)


class _Template(NamedTuple):
    """What stands before the amount, how it is told (None: not at all), what stands after it; and a typical amount."""

    before: str
    amount: Callable[[float], str] | None
    after: str
    usual: Callable[[float], str]


def _template(text: str) -> _Template:
    found = _PLACE.search(text)
    if found is None:
        return _Template(text, None, "", _few)
    counted = found[1]
    amount = _SPECIAL.get(counted, lambda value: _counted(value, counted))
    return _Template(text[: found.start()], amount, text[found.end() :], _SPECIAL.get(counted, _few))


def _true_of(share: float) -> str:
    return f" (true of {_percent(share)} of customers)"


def _few(value: float) -> str:
    """A typical count, without what is counted, which has been said."""
    return "none" if abs(value) < 0.05 else _number(value)


def _counted(value: float, plural: str) -> str:
    if not plural:
        return _number(value)
    if value == 0.0:
        return f"no {plural}"
    return f"1 {_singular(plural)}" if value == 1.0 else f"{_number(value)} {plural}"


def _singular(plural: str) -> str:
    """`failed payments` -> `failed payment`, `mentions of leaving` -> `mention of leaving`, `searches` -> `search`."""
    counted, of, rest = plural.partition(" of ")
    stem = counted.removesuffix("es") if counted.endswith(("ches", "shes", "xes")) else counted.removesuffix("s")
    return stem + of + rest


def _days(value: float) -> str:
    return f"{value:,.0f} days" if value >= 1.5 else ("1 day" if value >= 0.5 else "less than a day")


def _money(value: float) -> str:
    return "nothing" if value == 0.0 else (f"{value:,.0f}" if abs(value) >= 10.0 else f"{value:,.2f}")


def _times(value: float) -> str:
    return f"{_number(value)} times"


def _percent(value: float) -> str:
    return f"{100.0 * value:.0f} %"


def _mood(value: float) -> str:
    """A number from -1 to 1 as a word."""
    size = abs(value)
    if size < 0.05:
        return "neutral"
    return ("very " if size >= 0.6 else "slightly " if size < 0.25 else "") + ("good" if value > 0 else "bad")


def _number(value: float) -> str:
    if abs(value) < 1e9 and value == math.floor(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 10.0 else f"{value:.1f}" if abs(value) >= 0.95 else f"{value:.2g}"


#: What is told in another way than as so many of something.
_SPECIAL: dict[str, Callable[[float], str]] = {
    "days": _days,
    "money": _money,
    "times": _times,
    "share": _percent,
    "mood": _mood,
}
