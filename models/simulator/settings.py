"""What the simulated shop looks like, and why its customers leave."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal, get_args

import msgspec


class InvalidSimulatorSettings(ValueError):  # noqa: N818 - reads as the fact that it states
    """A simulator setting is outside its limits; the message names all such settings at once."""


class Causes(msgspec.Struct, frozen=True, kw_only=True):
    """Weights of the daily cancellation hazard, in log-odds.

    The hazard of a day is `1 / (1 + exp(-z))`, where z is the intercept plus each weight times its driver:

    - `detached`: log of the usual visit rate minus log of the rate of the last weeks (a mean over about 12 days);
    - `payment_failed`, `unresolved`, `refunded`, `wants_out`: recent failed payments, unresolved complaints, refunds
      and unanswered wishes to cancel, each counted 1 when it happens and fading with its half-life;
    - `displeased`: minus the tone of the last conversation, -1 to 1, fading likewise;
    - `price`: monthly price in units of 10 over the middle plan's; `newcomer`: 1 on joining, fading with tenure;
    - `mood`: the satisfaction that no event shows directly, and `unseen`: the spread of a personal constant.
      These two are the part that nobody can learn exactly.
    """

    intercept: float = -8.6
    detached: float = 1.9
    payment_failed: float = 2.6
    unresolved: float = 2.6
    displeased: float = 1.0
    refunded: float = 0.5
    wants_out: float = 2.8
    price: float = 0.8
    newcomer: float = 1.0
    mood: float = 0.3
    unseen: float = 0.2


IncidentKind = Literal["payments", "outage", "causes"]
INCIDENTS: Final = get_args(IncidentKind)


class Incident(msgspec.Struct, frozen=True):
    """Something that happens to the whole shop on some days, numbered from 0.

    - `payments`: payments fail four times as often;
    - `outage`: twice as many complaints, of which 4 of 5 stay unresolved instead of 2, and everybody is 0.7 more
      likely to leave, in log-odds;
    - `causes`: customers leave for other reasons, which is a change of the law and not of the data: for the price, and
      newcomers last of all, while visits, payments and complaints hardly count any more. About as many leave.
    """

    kind: IncidentKind
    start_day: int
    days: int

    @classmethod
    def parse(cls, text: str) -> Incident:
        """An incident from `KIND:DAY:DAYS`, such as `payments:60:14`. Raises `InvalidSimulatorSettings`."""
        kind, *numbers = text.split(":")
        if kind not in INCIDENTS or len(numbers) != 2 or not all(map(str.isdecimal, numbers)):
            raise InvalidSimulatorSettings(
                f"incident is {text!r}, allowed: KIND:DAY:DAYS such as payments:60:14, of the kinds "
                f"{', '.join(INCIDENTS)}"
            )
        return cls(msgspec.convert(kind, IncidentKind), int(numbers[0]), int(numbers[1]))


class SimulatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One simulated shop. The same settings always give the same events, byte for byte, with the same numpy.

    `start` is a UTC date. Rates are shares of all events: `duplicate_rate` arrive twice, `late_rate` arrive minutes to
    a day and a half late, `hostile_rate` are extra records that are no valid event, `skewed_rate` carry a wrong client
    clock and no `timestamp`, so that the time must be worked out. `initial_share` of the customers exist at the
    start; the others join evenly over the days. `transcripts` False leaves the conversations' words out.
    Without an incident all days are alike.
    """

    customers: int = 1500
    days: int = 150
    seed: int = 7
    start: str = "2025-01-01"
    initial_share: float = 0.45
    duplicate_rate: float = 0.005
    late_rate: float = 0.01
    hostile_rate: float = 0.0005
    skewed_rate: float = 0.05
    transcripts: bool = True
    incident: Incident | None = None
    causes: Causes = Causes()

    @property
    def start_time(self) -> int:
        """Midnight UTC of the first day, in epoch seconds."""
        return int(datetime.fromisoformat(self.start).replace(tzinfo=UTC).timestamp())

    def check(self) -> None:
        """Raise `InvalidSimulatorSettings` naming every setting outside its limits."""
        faults = [
            f"{name} is {getattr(self, name)!r}, allowed: {low:g} to {high:g}"
            for name, low, high in _LIMITS
            if not low <= getattr(self, name) <= high
        ]
        try:
            datetime.strptime(self.start, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            faults.append(f"start is {self.start!r}, allowed: a date like '2025-01-01'")
        if self.incident is not None and not 0 <= self.incident.start_day < self.days:
            faults.append(f"incident begins on day {self.incident.start_day}, allowed: 0 to {self.days - 1}")
        if faults:
            raise InvalidSimulatorSettings(f"cannot simulate with these settings: {'; '.join(faults)}")


_LIMITS: tuple[tuple[str, float, float], ...] = (
    ("customers", 1, 10_000_000),
    ("days", 1, 3_660),
    ("seed", 0, 2**63 - 1),
    ("initial_share", 0.0, 1.0),
    ("duplicate_rate", 0.0, 1.0),
    ("late_rate", 0.0, 1.0),
    ("hostile_rate", 0.0, 1.0),
    ("skewed_rate", 0.0, 1.0),
)
