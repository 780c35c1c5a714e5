"""The trainer of a backtest: the same waiting rooms and learners, and new models once per step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from models.churn.learner import Learner
from models.churn.serving import ServingModel
from models.churn.waiting import WaitingRoom
from models.features.base import Feature
from models.labels import horizons_of
from models.records import Example
from models.settings import Settings


class Learning:
    """Takes examples in the order in which the engine gives them; see `models.churn.waiting` for when it learns.

    `learners` are by horizon in days, the one that is served first.
    """

    def __init__(self, settings: Settings, features: Sequence[Feature], feature_version: str) -> None:
        label, trainer = settings.label, settings.trainer
        self.learners: dict[float, Learner] = {}
        self._waiting: dict[float, WaitingRoom] = {}
        for days in horizons_of(label):
            self.learners[days] = Learner(features, feature_version, label, trainer, days)
            self._waiting[days] = WaitingRoom(trainer.max_waiting)
        self._taken = 0

    @property
    def first(self) -> Learner:
        """The learner of the horizon that is served."""
        return next(iter(self.learners.values()))

    @property
    def waiting(self) -> int:
        """Examples that are not learned yet, because their horizon has not passed."""
        return sum(map(len, self._waiting.values()))

    def take(self, examples: Iterable[Example], note: Callable[[Example], None]) -> list[ServingModel]:
        """Learn what is due with these; the models that are new by it, as the trainer would publish them.

        `note` is told of every example that is learned.
        """
        changed: dict[float, None] = {}
        for example in examples:
            for due in self._waiting[example.horizon_days].add(example, self._taken):
                self.learners[due.horizon_days].learn(due)
                note(due)
                changed[due.horizon_days] = None
            self._taken += 1
        return [self.learners[days].serving(self._taken - 1) for days in changed]
