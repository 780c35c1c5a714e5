"""Who is served: the league's moves and the commands of operators, applied to one learner, with their history."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from models.churn.control import Answer, Control
from models.churn.learner import Learner
from models.churn.record import InvalidModel
from models.churn.serving import ServingModel
from models.churn.versions import Move, Versions
from models.features.base import Feature
from streams.trainer.archive import Archive
from streams.trainer.size import fitted

log = logging.getLogger(__name__)

_ANSWERS = 20


class Steering:
    """Keeps the version that was served before each move, so that it can be gone back to. All times are event time."""

    def __init__(self, learner: Learner, archive: Archive, features: Sequence[Feature]) -> None:
        self.learner, self.archive = learner, archive
        self.answers: list[Answer] = []
        self._features = features

    @property
    def versions(self) -> Versions:
        """Kept versions and moves."""
        return self.archive.versions

    @property
    def served(self) -> str:
        """What is served: the champion's name, or `pinned VERSION`."""
        return f"pinned {self.versions.pinned}" if self.versions.pinned else self.learner.champion

    def served_model(self, offset: int) -> ServingModel:
        """The model to publish: of everything learned so far, or the pinned one."""
        pinned = self.archive.pinned()
        return fitted(self.learner.serving(offset)) if pinned is None else ServingModel.from_record(pinned)

    def keep_day(self, offset: int, at: float) -> None:
        """Keep the version of a new day."""
        self.archive.keep(fitted(self.learner.serving(offset)), at, "day")

    def moved(self, before: str, offset: int, at: float) -> None:
        """The league has just promoted another champion than `before`."""
        # What would have been published by now, had it not moved.
        self.archive.keep(fitted(self.learner.serving(offset, before)), at, "move")
        why, pinned = self.learner.contest.why, self.versions.pinned
        self._note(before, self.learner.champion, f"{why}; {pinned} stays pinned" if pinned else why, offset, at)

    def obey(self, control: Control, offset: int, clock: float) -> None:
        """Do what a command says, and keep the answer."""
        at = clock if math.isfinite(clock) else 0.0
        try:
            done, text = True, self._do(control, offset, at)
        except ValueError as error:
            done, text = False, str(error)
        log.info("command %s: %s", control.control, text)
        answer = Answer(id=control.id, control=control.control, done=done, text=text, offset=offset)
        self.answers = [*self.answers, answer][-_ANSWERS:]

    def _do(self, control: Control, offset: int, at: float) -> str:
        """The answer; `ValueError` says why it cannot be done."""
        why = control.note or f"by command `{control.control}`"
        match control.control:
            case "promote":
                return self._promote(control.name, why, offset, at)
            case "pin":
                return self._pin(control.version, why, offset, at)
            case "rollback":
                before = self.versions.before()
                if before is None:
                    raise ValueError("no older version is kept")
                return self._pin(before.version, why, offset, at)
            case "auto":
                return self._unpin(why, offset, at)
            case "drift":
                return f"challenger {self.learner.contest.begin_fresh(self.learner.examples)} begins anew"

    def _promote(self, name: str, why: str, offset: int, at: float) -> str:
        served, before = self.served, self.learner.serving(offset)
        self.learner.contest.promote(name, why)
        self.versions.pinned = ""
        self.archive.keep(fitted(before), at, "move")
        self._note(served, name, why, offset, at)
        return f"{name} is served in place of {served}"

    def _pin(self, version: str, why: str, offset: int, at: float) -> str:
        served = self.served
        if version == self.versions.pinned:
            raise ValueError(f"version '{version}' is pinned already")
        try:
            self.archive.open(version).require(self._features, self.learner.feature_version)
        except InvalidModel as error:
            raise ValueError(str(error)) from error
        was_pinned, self.versions.pinned = bool(self.versions.pinned), version
        if not was_pinned:
            self.archive.keep(fitted(self.learner.serving(offset)), at, "move")
        self.learner.contest.distrust(version)
        self._note(served, self.served, why, offset, at)
        return f"{version} is served as it was, in place of {served}, until `auto`"

    def _unpin(self, why: str, offset: int, at: float) -> str:
        served = self.served
        if not self.versions.pinned:
            raise ValueError(f"no version is pinned: the league's champion, {served}, is served")
        self.versions.pinned = ""
        self._note(served, self.served, why, offset, at)
        return f"the league's champion, {self.served}, is served in place of {served}"

    def _note(self, before: str, after: str, why: str, offset: int, at: float) -> None:
        self.archive.note(Move(at, offset, self.learner.examples, before, after, why))
