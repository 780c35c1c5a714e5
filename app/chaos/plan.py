"""What goes wrong, and when: drawn from a seed before anything runs, so that the same seed repeats it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Final

import msgspec

KILL, PAUSE, TERMINATE, ADD, REMOVE = "kill", "pause", "terminate", "add", "remove"
KILL_TRAINER, PAUSE_TRAINER, KILL_BROKER = "kill trainer", "pause trainer", "kill broker"
#: One trainer learns, the other stands by and takes over; which one is which depends on the run.
TRAINERS: Final = ("trainer-1", "trainer-2")
#: The most workers at a time, and the fewest faults that hold every kind.
MOST_WORKERS, FEWEST_FAULTS = 3, 13

_ALWAYS: Final = (KILL, PAUSE, PAUSE, TERMINATE, KILL_TRAINER, PAUSE_TRAINER)
_WEIGHTS: Final = {KILL: 5, PAUSE: 4, TERMINATE: 1, KILL_TRAINER: 2, PAUSE_TRAINER: 1}
_BROKER_WEIGHT = 2
#: Faults happen while this share of the events is processed, and some follow others at once.
_SPREAD, _AT_ONCE = 0.6, 0.25


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault. It comes `gap_events` processed events, or `gap_s` seconds, after the one before.

    `hold_s` is how long the target stays down, or stands still, in seconds.
    """

    number: int
    kind: str
    target: str
    gap_events: int = 0
    gap_s: float = 0.0
    hold_s: float = 0.0

    def __str__(self) -> str:
        gap = f"{self.gap_events:,} events" if self.gap_events else f"{self.gap_s:.1f} s"
        hold = f" for {self.hold_s:.1f} s" if self.hold_s else ""
        return f"{self.number:2}  after {gap:>13}  {self.kind.split()[0]} {self.target}{hold}"


def plan(seed: int, count: int, events: int, *, session_s: float, broker: bool) -> tuple[Fault, ...]:
    """The faults of a run.

    Parameters
    ----------
    seed
        The same seed and arguments give the same faults.
    count
        How many, at least `FEWEST_FAULTS`.
    events
        How many events the run sends in all.
    session_s
        The group's session timeout in seconds; pauses last longer.
    broker
        Whether the broker may be killed, too.

    Raises
    ------
    ValueError
        `count` is too small for every kind of fault.
    """
    if count < FEWEST_FAULTS:
        raise ValueError(f"cannot plan {count} faults, allowed: {FEWEST_FAULTS} or more, to hold every kind")
    dice = Random(f"faults {seed}")
    alive = ["worker-1"]
    faults: list[Fault] = []
    gap = _SPREAD * events / count
    for number, kind in enumerate(_kinds(dice, count, broker=broker), 1):
        at_once = number > 1 and dice.random() < _AT_ONCE
        faults.append(
            Fault(
                number=number, kind=kind, target=_target(dice, kind, alive), hold_s=_hold_s(dice, kind, session_s),
                gap_events=0 if at_once else int(gap * dice.uniform(0.5, 1.5)),
                gap_s=round(dice.uniform(0.2, 3.0), 1) if at_once else 0.0,
            )
        )  # fmt: skip
    return tuple(faults)


def counts(faults: Sequence[Fault]) -> dict[str, int]:
    """How many faults of each kind."""
    return dict(sorted(Counter(fault.kind for fault in faults).items()))


def _kinds(dice: Random, count: int, *, broker: bool) -> list[str]:
    """From one worker to three early on, back to one at the end, and everything else in between."""
    weights = _WEIGHTS | ({KILL_BROKER: _BROKER_WEIGHT} if broker else {})
    middle = [*_ALWAYS, *([KILL_BROKER] if broker else [])]
    middle += dice.choices(list(weights), list(weights.values()), k=count - 6 - len(middle))
    dice.shuffle(middle)
    begin, gone, back, end = sorted(dice.sample(range(1, len(middle)), 4))
    return [
        ADD, *middle[:begin], ADD, *middle[begin:gone],
        REMOVE, *middle[gone:back], ADD, *middle[back:end],
        REMOVE, *middle[end:], REMOVE,
    ]  # fmt: skip


def _target(dice: Random, kind: str, alive: list[str]) -> str:
    """Whom it hits; `alive` is kept up to date."""
    if kind == KILL_BROKER:
        return "broker"
    if kind in (KILL_TRAINER, PAUSE_TRAINER):
        return dice.choice(TRAINERS)
    if kind == ADD:
        alive.append(next(name for i in range(1, MOST_WORKERS + 1) if (name := f"worker-{i}") not in alive))
        return alive[-1]
    target = dice.choice(alive)
    if kind == REMOVE:
        alive.remove(target)
    return target


def _hold_s(dice: Random, kind: str, session_s: float) -> float:
    if kind in (PAUSE, PAUSE_TRAINER):
        return round(session_s + dice.uniform(0.5, 4.0), 1)
    return round(dice.uniform(0.1, 2.0), 1) if kind in (KILL, KILL_TRAINER, KILL_BROKER) else 0.0
