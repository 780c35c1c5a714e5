"""The base rate: one probability for everybody."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from models.churn.calibration import logit
from models.churn.forms.base import Matrix, Vector

#: Share of leavers that is assumed before any label is known.
INITIAL_PRIOR = 0.15


class PriorForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="prior"):
    """The probability of leaving of a customer of whom nothing is known."""

    rate: float


class PriorScorer:
    """A `PriorForm` ready to be applied to matrices."""

    def __init__(self, form: PriorForm) -> None:
        self.base = float(logit(form.rate))

    def logits(self, x: Matrix) -> Vector:
        """The same for every row."""
        return np.full(len(x), self.base)

    def contributions(self, x: Matrix) -> Vector:
        """None."""
        return np.zeros(x.shape)


def prior_faults(form: PriorForm) -> Iterator[str]:
    """Every reason not to use the form."""
    if not 0.0 < form.rate < 1.0:
        yield f"prior {form.rate} is not a probability (allowed: between 0 and 1, both excluded)"
