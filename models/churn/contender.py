"""One model in the league: its candidate, its calibration, and how good its predictions were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from models.churn.calibration import Gain, PastMaps, PlattLearner, RecentLoss
from models.churn.candidates import CANDIDATES
from models.churn.forms import Form
from models.churn.forms.base import Matrix
from models.evaluation import ProgressiveMetrics
from models.features.base import Feature
from models.settings import TrainerSettings

_LIMIT = 30.0


class Losses(NamedTuple):
    """Log losses in nats of one example: of the prediction recorded when it was scored, and of one made at the label.

    None where there is none that may count.
    """

    recorded: float | None
    late: float | None

    @property
    def known(self) -> float | None:
        """The recorded one, or else the late one."""
        return self.late if self.recorded is None else self.recorded


class ContenderState(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A contender as plain data. `begun` is the number of examples that were learned before its first."""

    kind: str
    seed: int
    begun: int
    judged: int = 0
    recorded: int = 0
    calibration: PlattLearner
    gain: Gain
    past: PastMaps
    recent: RecentLoss
    metrics: ProgressiveMetrics
    candidate: dict[str, Any]


class Contender:
    """A candidate of a kind of the registry, judged by predictions that it made before the label was known.

    Examples are judged by what was recorded when they were scored. As long as that is missing, as before a form is
    published first, a prediction of now counts in its place, if the kind is `early`: a model that cannot learn by
    heart. It is made before the example is learned, but a horizon later than the recorded one would have been.
    """

    def __init__(
        self, kind: str, features: Sequence[Feature], label_kind: str, settings: TrainerSettings, seed: int,
        begun: int = 0,
    ) -> None:  # fmt: skip
        self.spec = CANDIDATES[kind]
        self._candidate = self.spec.make(features, label_kind, settings, seed)
        self._state = ContenderState(
            kind=kind,
            seed=seed,
            begun=begun,
            calibration=PlattLearner(),
            gain=Gain(),
            past=PastMaps(),
            recent=RecentLoss(),
            metrics=ProgressiveMetrics(),
            candidate={},
        )

    @property
    def facts(self) -> ContenderState:
        """What is known of it; its `candidate` only after `state`."""
        return self._state

    def judge(
        self, x: Matrix, label: int, recorded: float | None, times: tuple[float, float], *, late_too: bool, enough: bool
    ) -> Losses:
        """Score what it said of a vector, then calibrate by it. `recorded` is a probability before calibration.

        `times` are when the prediction was made and when its horizon ended, epoch seconds; the latter never falls.

        A prediction of now, which costs more than all the rest, is made if there is none recorded, or `late_too`.
        Whether the calibration is in use is decided anew when there are `enough` labels.
        """
        state = self._state
        late = None
        if self.spec.early and (late_too or recorded is None):
            late = self._loss(self._candidate.logit(x), label)
        if recorded is None:
            if late is not None:
                self._count(late[1], label)
            return Losses(None, None if late is None else late[0])
        raw = logit_of(recorded)
        found = self._loss(raw, label)
        self._count(found[1], label)
        state.recorded += 1
        calibration, made = state.calibration, state.past.at(times[0])
        if made is not None:
            gained = loss_of(raw, label) - loss_of(made[0] * raw + made[1], label)
            state.gain.add(times[1], gained, times[1] - times[0])
        calibration.learn(raw, label)
        state.past.keep(times[1], calibration)
        calibration.used = enough and state.gain.earned(used=calibration.used)
        return Losses(found[0], None if late is None else late[0])

    def learn(self, x: Matrix, label: int) -> None:
        """Learn one example."""
        self._candidate.learn(x, label)

    def form(self) -> Form:
        """What to publish."""
        return self._candidate.form()

    def state(self) -> ContenderState:
        """All of it as plain data."""
        self._state.candidate = self._candidate.state()
        return self._state

    def load(self, state: ContenderState) -> None:
        """Go on from a state. Raises ValueError when it does not fit."""
        self._candidate.load(state.candidate)
        self._state = state

    def _loss(self, raw: float, label: int) -> tuple[float, float]:
        """Loss and log-odds, calibrated as of now."""
        calibration = self._state.calibration.form()
        logit = calibration.slope * raw + calibration.intercept if calibration.used else raw
        return loss_of(logit, label), logit

    def _count(self, logit: float, label: int) -> None:
        state = self._state
        state.judged += 1
        state.recent.add(logit, label)
        state.metrics.add(label, 1.0 / (1.0 + math.exp(-min(max(logit, -_LIMIT), _LIMIT))))


def loss_of(logit: float, label: int) -> float:
    """Log loss in nats of log-odds, clipped to +-30."""
    margin = min(max(logit if label else -logit, -_LIMIT), _LIMIT)
    return math.log1p(math.exp(-margin))


def logit_of(probability: float) -> float:
    """Log-odds of a probability."""
    p = min(max(probability, 1e-13), 1.0 - 1e-13)
    return math.log(p / (1.0 - p))
