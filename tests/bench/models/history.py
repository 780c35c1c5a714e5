"""One pass over a history by the backtest's engine and learners, of which the rows of some days are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from models.backtest.order import Timed
from models.backtest.run import Backtest
from models.churn.learner import Learner
from models.features import FEATURE_VERSION, FEATURES
from models.records import Example
from models.settings import LabelSettings, Settings

DAY_S = 86_400
Floats = npt.NDArray[np.float64]


class History(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Kept rows, oldest first, and how the run ended.

    `own` is what each learned form said, before calibration. `label` is -1 where it is not known. `learned` is the
    number of examples that were learned when the row was scored.
    """

    customer: npt.NDArray[np.int64]
    day: npt.NDArray[np.int64]
    x: npt.NDArray[np.float32]
    label: npt.NDArray[np.int8]
    emitted: Floats
    rule: Floats
    own: dict[str, Floats]
    learned: npt.NDArray[np.int64]
    ids: list[str]
    champions: list[tuple[str, int, int]]
    learner: Learner
    events: int
    cpu_s: float

    def rows(self, chosen: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int8], Floats]:
        """Labels and emitted probabilities of the rows chosen whose label is known."""
        chosen = chosen & (self.label >= 0)
        return self.label[chosen], self.emitted[chosen]


def live(
    events: Iterable[Timed], label: LabelSettings, keep: Callable[[int], bool], *, end: float = np.inf,
    prepare: Callable[[Learner], None] = lambda _: None,
) -> History:  # fmt: skip
    """Run it. `keep` says of a day since 1970 whether its rows are kept; `prepare` may change the learner before."""
    settings = Settings(label=label)
    backtest = Backtest(settings, FEATURES, FEATURE_VERSION, now=time.time(), end=end)
    learner = backtest.learning.first
    prepare(learner)
    kept: list[dict[str, Any]] = []
    champions: list[tuple[str, int, int]] = []
    begun = time.process_time()
    aside = 0.0
    for one in backtest.run(events):
        day = round(one.as_of / DAY_S)
        if not champions or champions[-1][0] != one.model.name:
            champions.append((one.model.name, day, learner.examples))
        if keep(day):
            stopped = time.process_time()
            own = backtest.model.own(one.features)
            kept.append({
                "customer": one.customers, "day": np.full(len(one.customers), day), "x": one.features,
                "emitted": one.probability, "rule": one.rule, "own": own,
                "learned": np.full(len(one.customers), learner.examples),
            })  # fmt: skip
            aside += time.process_time() - stopped
    cpu_s = time.process_time() - begun - aside
    names = set.intersection(*(set(one["own"]) for one in kept[-1:]))
    columns = {name: np.concatenate([one[name] for one in kept]) for name in kept[0] if name != "own"}
    own = {
        name: np.concatenate([one["own"].get(name, np.full(len(one["day"]), np.nan)) for one in kept])
        for name in sorted(names)
    }
    as_of = columns["day"].astype(np.float64) * DAY_S
    outcomes = backtest.truth.outcomes(columns["customer"], as_of, label.horizon_days, backtest.known_until)
    return History(
        **columns, own=own, label=backtest.truth.labels(outcomes), ids=list(backtest.customers), champions=champions,
        learner=learner, events=backtest.events, cpu_s=cpu_s,
    )  # fmt: skip


def heard(labels: list[int]) -> Callable[[Learner], None]:
    """Let a learner write down the labels that it learns, in their order."""

    def prepare(learner: Learner) -> None:
        learn = learner.learn

        def learn_and_note(example: Example) -> None:
            labels.append(example.label)
            learn(example)

        setattr(learner, "learn", learn_and_note)  # noqa: B010 - mypy would not have a method replaced

    return prepare


def told_instead(labels: Iterable[int]) -> Callable[[Learner], None]:
    """Let a learner learn these labels one after the other in the place of the true ones."""
    given = iter(labels)

    def prepare(learner: Learner) -> None:
        learn = learner.learn
        setattr(  # noqa: B010 - as above
            learner, "learn", lambda example: learn(msgspec.structs.replace(example, label=next(given)))
        )

    return prepare
