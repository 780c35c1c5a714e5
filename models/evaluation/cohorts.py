"""Declared cohorts: a name and a condition over features as served, such as `new: tenure_days < 90`.

A condition is parts joined by `and`: a feature compared with a number (`<`, `<=`, `>`, `>=`, `=`, `!=`), or a feature
that `is known` or `is unknown`. It is evaluated here, on columns; no part of it ever becomes SQL.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from models.evaluation.measures import Array

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_COMPARED: Final = re.compile(r"([a-z][a-z0-9_]*)\s*(<=|>=|!=|<|>|=)\s*([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")
_KNOWN: Final = re.compile(r"([a-z][a-z0-9_]*)\s+is\s+(known|unknown)")
_OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip
_ALLOWED = "`name: feature < 90 and other_feature is known`, with <, <=, >, >=, =, !=, is known, is unknown"


class Part(msgspec.Struct, frozen=True):
    """One comparison. `sign` is an operator with its `number`, or `known`, or `unknown`."""

    feature: str
    sign: str
    number: float = 0.0

    def mask(self, column: Array) -> Array:
        """Which values of the column it is true of; of no unknown one, unless it asks for them."""
        known = np.isfinite(column)
        if self.sign in ("known", "unknown"):
            return known if self.sign == "known" else ~known
        return np.asarray(known & _OPERATORS[self.sign](column, self.number))


class Cohort(msgspec.Struct, frozen=True):
    """A named group of customers at the time of a prediction; all parts are true of it."""

    name: str
    parts: tuple[Part, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """The features that it looks at, each once."""
        return tuple(dict.fromkeys(part.feature for part in self.parts))

    def mask(self, columns: Mapping[str, Array]) -> Array:
        """Who belongs to it, from a column per feature (NaN is unknown)."""
        return np.asarray(np.logical_and.reduce([part.mask(columns[part.feature]) for part in self.parts]))


def parse_cohorts(texts: Sequence[str], features: Collection[str]) -> tuple[Cohort, ...]:
    """The cohorts of the settings.

    Raises
    ------
    ValueError
        A text that is no cohort, a feature that does not exist, a name given twice, or the name `all`.
    """
    cohorts = [_cohort(text, features) for text in texts]
    names = [cohort.name for cohort in cohorts]
    twice = sorted({name for name in names if names.count(name) > 1 or name == "all"})
    if twice:
        raise ValueError(f"cohort names {', '.join(map(repr, twice))} (allowed: each name once, not 'all')")
    return tuple(cohorts)


def _cohort(text: str, features: Collection[str]) -> Cohort:
    name, colon, condition = text.partition(":")
    parts = [_part(piece.strip()) for piece in re.split(r"\s+and\s+", condition.strip())]
    if not colon or not _NAME.fullmatch(name.strip()) or None in parts:
        raise ValueError(f"cohort {text[:200]!r} cannot be read (allowed: {_ALLOWED})")
    read = tuple(part for part in parts if part is not None)
    unknown = [part.feature for part in read if part.feature not in features]
    if unknown:
        raise ValueError(
            f"cohort {name.strip()!r} asks for {', '.join(map(repr, unknown))} (allowed: a feature's name)"
        )
    return Cohort(name.strip(), read)


def _part(text: str) -> Part | None:
    if found := _COMPARED.fullmatch(text):
        return Part(found[1], found[2], float(found[3]))
    if found := _KNOWN.fullmatch(text):
        return Part(found[1], found[2])
    return None
