"""How features are declared: one file per group names its summaries and its features.

A group module defines `GROUP`. `observe` says what an event adds to the group's summaries, in the order of its
layout; `vector` computes the group's features for many customers at once, in the order of `features`.
`models.features` finds the modules of this folder by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from models.events.types import Event
from models.features.layout import Array, Layout
from models.features.view import View

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
    says: str = ""
    echoes: tuple[str, ...] = ()


def no_items(_: Event) -> tuple[str, ...]:
    """For groups without a sketch."""
    return ()


class Group(msgspec.Struct, frozen=True):
    """A feature group: the effects it listens to (`models.events.catalog`) and what it makes of them.

    `observe` answers None for an event that says nothing to the group. `items` are added to its sketch.

    A group to which an event says nothing but its effect and its time (epoch seconds) may give `observe_times`, too:
    the same observations of many events of one effect at once, one row each. It is used instead, being much quicker.
    """

    name: str
    layout: Layout
    effects: frozenset[str]
    features: tuple[Feature, ...]
    observe: Callable[[Event], tuple[float, ...] | None]
    vector: Callable[[View], list[Array]]
    items: Callable[[Event], tuple[str, ...]] = no_items
    observe_times: Callable[[str, Array], Array] | None = None


Row = (
    tuple[str, str, str]
    | tuple[str, str, str, Transform]
    | tuple[str, str, str, Transform, str]
    | tuple[str, str, str, Transform, str, tuple[str, ...]]
)


def declare(group: str, *rows: Row) -> tuple[Feature, ...]:
    """Features of one group from rows (name, unit, description[, transform[, says[, echoes]]])."""
    return tuple(Feature(row[0], group, *row[1:]) for row in rows)
