"""What the days are like: as always, or while an incident lasts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from models.simulator.luck import Floats
from models.simulator.settings import Causes, SimulatorSettings

#: Daily probabilities. A complaint that is not voiced only spoils the mood.
COMPLAINT, UNVOICED, QUESTION, PRAISE = 0.008, 0.001, 0.006, 0.004
RESOLVED_SHARE = 0.6
_MOST_REFUSED = 0.9

#: The incident `causes`: the price decides, and hardly anything else.
_OTHER_CAUSES: Final = {
    "detached": 0.3, "payment_failed": 0.4, "unresolved": 0.4, "displeased": 0.2, "refunded": 0.1, "wants_out": 0.6,
    "newcomer": -1.5, "mood": 0.1,
}  # fmt: skip


@dataclass(frozen=True)
class Conditions:
    """What a day is like.

    `refusals` multiplies the risk of failed payments, `complaint` and `resolved` are the daily probability of a
    complaint and the share of conversations that end well. `extra` (and `extra_price`, per 10 units of price above the
    middle plan's) come on top of the log-odds of cancelling.
    """

    causes: Causes
    refusals: float = 1.0
    complaint: float = COMPLAINT
    resolved: float = RESOLVED_SHARE
    extra: float = 0.0
    extra_price: float = 0.0

    @cached_property
    def edges(self) -> Floats:
        """Upper edges of the shares of one uniform draw: unvoiced complaints, complaints, questions, praise."""
        return np.cumsum([UNVOICED, self.complaint, QUESTION, PRAISE]).astype(np.float32)

    def refusal(self, risk: Floats) -> Floats:
        """The probability that a payment fails, for people of this risk."""
        return risk if self.refusals == 1.0 else np.minimum(risk * np.float32(self.refusals), np.float32(_MOST_REFUSED))


class Calendar:
    """The conditions of each day, by its number from 0 on; days before and after an incident are like any other."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._usual, incident = Conditions(settings.causes), settings.incident
        self._during, self._days = self._usual, range(0)
        if incident is not None:
            self._days = range(incident.start_day, incident.start_day + incident.days)
            self._during = _during(incident.kind, self._usual)

    @property
    def usual(self) -> Conditions:
        """Those without an incident."""
        return self._usual

    @property
    def changes(self) -> bool:
        """Whether there is an incident at all."""
        return len(self._days) > 0

    def on(self, day: int) -> Conditions:
        """Those of one day."""
        return self._during if day in self._days else self._usual


def _during(kind: str, usual: Conditions) -> Conditions:
    if kind == "payments":
        return replace(usual, refusals=4.0)
    if kind == "outage":
        # Twice as many complaints, of which a fifth ends well instead of three: four times as many stay unresolved.
        return replace(usual, complaint=2.0 * COMPLAINT, resolved=RESOLVED_SHARE / 3.0, extra=0.7)
    known = {name: getattr(usual.causes, name) for name in usual.causes.__struct_fields__}
    return replace(usual, causes=Causes(**(known | _OTHER_CAUSES)), extra=2.0, extra_price=1.7)
