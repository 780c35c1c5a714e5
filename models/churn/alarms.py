"""Drift alarms of the examples: the rate of leavers changed, or the champion's loss rose."""

from __future__ import annotations

import math

import msgspec

from models.drift import Change, ChangeDetector

_MONTH_S = 30 * 86_400.0
#: The budget is turned into thresholds anew after so many examples, once their pace is known.
_PACE_EXAMPLES = 500
_REMEMBERED = 20


class Alarm(msgspec.Struct, frozen=True):
    """Something changed, from a mean of `before` to one of `after`.

    `at` is event time (epoch seconds), `examples` how many were learned until then, `challenger` who was begun anew
    because of it (empty for none).
    """

    of: str
    at: float
    examples: int
    before: float
    after: float
    challenger: str = ""


class Alarms(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Watches labels and losses, within one budget of false alarms for both; plain data."""

    label: ChangeDetector
    loss: ChangeDetector
    seen: int = 0
    first_at: float = 0.0
    raised: int = 0
    last: list[Alarm] = []

    @staticmethod
    def of(alarms_per_month: float, overlap: float) -> Alarms:
        """`overlap`: how many examples of a customer speak of the same time."""

        def detector(name: str) -> ChangeDetector:
            return ChangeDetector(
                name=name, mode="both", alarms_per_month=alarms_per_month / 2.0, examples_per_month=10_000.0,
                overlap=overlap,
            )  # fmt: skip

        return Alarms(label=detector("label"), loss=detector("loss"))

    def watch(self, at: float, label: int, loss: float | None) -> Alarm | None:
        """Take one example, in the order of learning; the alarm that it raises. `loss` is the champion's, if known."""
        self.first_at = at if not self.seen else self.first_at
        self.seen += 1
        if self.seen % _PACE_EXAMPLES == 0 and at > self.first_at:
            pace = self.seen / (at - self.first_at) * _MONTH_S
            self.label.examples_per_month = self.loss.examples_per_month = pace
        changes = [self.label.update(float(label)), None if loss is None else self.loss.update(loss)]
        # A loss that fell is a model that learned.
        heeded = [one for one in changes if one is not None and (one.name == "label" or one.rose)]
        return self._alarm(heeded[0], at) if heeded else None

    def new_champion(self) -> None:
        """Losses are those of another model from now on."""
        old = self.loss
        self.loss = ChangeDetector(
            name=old.name, mode=old.mode, alarms_per_month=old.alarms_per_month,
            examples_per_month=old.examples_per_month, overlap=old.overlap,
        )  # fmt: skip

    def note(self, alarm: Alarm) -> None:
        """Remember an alarm."""
        self.raised += 1
        self.last = [*self.last, alarm][-_REMEMBERED:]

    def _alarm(self, change: Change, at: float) -> Alarm:
        return Alarm(change.name, at if math.isfinite(at) else 0.0, self.seen, change.before, change.after)
