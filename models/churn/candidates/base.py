"""The contract of a model that may become champion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from models.churn.forms import Form
from models.churn.forms.base import Matrix
from models.features.base import Feature
from models.settings import TrainerSettings

#: One raw served vector: 32-bit floats or their values in 64 bits, NaN where a value is not known.
Row = Matrix


class Candidate(Protocol):
    """A model that learns example by example and publishes itself as plain data.

    The trainer calls `learn` for every matured example in the order of their horizons, and `form` whenever it
    publishes. Two candidates that were made alike and learned the same examples are equal bit for bit, also when one
    of them went through `state` and `load` on the way; asking for `logit`, `form` or `state` changes nothing.
    Memory is bounded, however many examples are learned. The trap: River's own random numbers must come from the
    seed, and must be part of the state.
    """

    def learn(self, x: Row, label: int) -> None:
        """Learn one raw served vector, of any finite or unknown values, and its label 0 or 1."""
        ...

    def logit(self, x: Row) -> float:
        """Log-odds of one raw served vector by what was learned so far. Pure."""
        ...

    def form(self) -> Form:
        """What to publish. It gives the same log-odds as `logit` but for rounding (1e-9 of probability)."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything that was learned as plain data, ready for JSON; no part of it changes by further learning."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same columns.

        Raises
        ------
        ValueError
            When the state is malformed, or of other columns. The candidate is not to be used then.
        """
        ...


class CandidateSpec(NamedTuple):
    """One kind of model.

    `early` says that it may be judged by predictions made when the label is known, as long as there are none that
    were recorded at scoring time: only for models too small to learn customers by heart. `make` takes the features, the
    label kind, the settings and a seed.
    """

    name: str
    summary: str
    early: bool
    make: Callable[[Sequence[Feature], str, TrainerSettings, int], Candidate]
