"""The base rate: the share of leavers, forgetting old examples exponentially."""

from __future__ import annotations

import msgspec

from models.churn.forms.prior import INITIAL_PRIOR

#: How many examples the belief in the initial rate is worth.
_PSEUDO_EXAMPLES = 20.0
#: After so many further examples one example weighs half.
_HALF_LIFE_EXAMPLES = 20_000.0
_KEEP = 0.5 ** (1.0 / _HALF_LIFE_EXAMPLES)


class Prior(msgspec.Struct, forbid_unknown_fields=True):
    """Decayed counts; the pseudo-counts never decay, so the rate is never exactly 0 or 1."""

    positives: float = 0.0
    total: float = 0.0

    def learn(self, label: int) -> None:
        """Count one example of label 0 or 1."""
        self.positives = self.positives * _KEEP + label
        self.total = self.total * _KEEP + 1.0

    @property
    def probability(self) -> float:
        """The base rate, between 0 and 1."""
        return (self.positives + INITIAL_PRIOR * _PSEUDO_EXAMPLES) / (self.total + _PSEUDO_EXAMPLES)
