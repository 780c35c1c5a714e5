"""How features are declared: one file per group names its summaries and its features.

A group module defines `GROUP`. `observe` folds an event into the group's summary and must only use its
merge operations; `vector` computes the group's features from the summary as of a time, in the order of
`features`. `models.features` finds the modules of this folder by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from models.events.types import Event
from models.features.summary import Layout, Summary

Transform = Literal["identity", "log1p"]


class Feature(msgspec.Struct, frozen=True):
    """One column of the feature vector.

    `transform` is what models apply before scaling (`log1p` for counts, sums and durations). A feature
    that is not known yet is NaN in the vector, null in JSON and absent from River's dicts.
    """

    name: str
    group: str
    unit: str
    description: str
    transform: Transform = "identity"


class Group(msgspec.Struct, frozen=True):
    """A feature group: the effects it listens to (`models.events.catalog`) and what it makes of them."""

    name: str
    layout: Layout
    effects: frozenset[str]
    features: tuple[Feature, ...]
    observe: Callable[[Summary, Event], None]
    vector: Callable[[Summary, float], list[float]]


def declare(group: str, *rows: tuple[str, str, str] | tuple[str, str, str, Transform]) -> tuple[Feature, ...]:
    """Features of one group from rows (name, unit, description[, transform])."""
    return tuple(Feature(row[0], group, row[1], row[2], row[3] if len(row) == 4 else "identity") for row in rows)
