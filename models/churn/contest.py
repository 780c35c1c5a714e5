"""The rule and all candidates in one league: who is judged how, who is promoted, who begins anew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from models.churn.calibration import RecentLoss
from models.churn.candidates import CANDIDATES
from models.churn.contender import Contender, ContenderState, Losses, logit_of, loss_of
from models.churn.forms import PRIOR, RULE
from models.churn.forms.base import Matrix
from models.churn.league import League, Standing
from models.churn.waiting import due_at
from models.features.base import Feature
from models.records import Example
from models.settings import TrainerSettings

#: Separates the kind of a challenger that was begun anew from its number.
_FRESH = "~"
_TO_BEAT = "to beat"
_SEED = 1
_DISTRUSTED = 20


class ContestState(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A contest as plain data. `why` is why the champion is that, `begun` counts challengers begun anew.

    `distrusted` are versions whose records do not judge the present models.
    """

    league: League
    why: str = ""
    begun: int = 0
    distrusted: list[str] = []
    rule_recent: RecentLoss
    prior_recent: RecentLoss
    contenders: dict[str, ContenderState] = {}


class Contest:
    """The league and its contenders by name; the rule is not among the latter but in the league."""

    def __init__(self, features: Sequence[Feature], label_kind: str, settings: TrainerSettings) -> None:
        """All begin; raises ValueError when `trainer.candidates` names a model that does not exist."""
        unknown = [name for name in settings.candidates if name not in CANDIDATES]
        if unknown:
            raise ValueError(f"no candidates {unknown} (allowed: {sorted(CANDIDATES)})")
        self._features, self._label_kind, self._settings = features, label_kind, settings
        self.contenders = {name: self._new(name, 0) for name in settings.candidates}
        self._state = ContestState(
            league=League.of(RULE, list(self.contenders)), rule_recent=RecentLoss(), prior_recent=RecentLoss()
        )

    @property
    def champion(self) -> str:
        """The league's first."""
        return self._state.league.champion

    @property
    def why(self) -> str:
        """Why it became that; empty for the rule of the beginning."""
        return self._state.why

    @property
    def error(self) -> float:
        """The bound of the test now. The rule is easier to replace: waiting for proof costs customers."""
        return self._settings.takeover_error if self.champion == RULE else self._settings.promotion_error

    @property
    def fresh(self) -> list[Contender]:
        """The challengers that were begun anew."""
        return [one for name, one in self.contenders.items() if _FRESH in name and name != self.champion]

    # -- examples ------------------------------------------------------------------------------------

    def judge(
        self, example: Example, x: Matrix, rule_now: float, prior_now: float, *, enough: bool
    ) -> dict[str, Losses]:
        """The losses of all on an example, before it is learned. `..._now` is what rule and prior say of it by now.

        Under _TO_BEAT stands what challengers are compared with: the champion. In the place of the rule it is the
        prior where that has been better of late, so that a rule that is worse than nothing proves no skill.
        """
        state, label = self._state, example.label
        better = PRIOR if state.prior_recent.mean < state.rule_recent.mean else RULE
        losses: dict[str, Losses] = {}
        for name, then, now, recent in (
            (RULE, example.rule_probability, rule_now, state.rule_recent),
            (PRIOR, example.prior_probability, prior_now, state.prior_recent),
        ):
            recorded = logit_of(then)
            losses[name] = Losses(loss_of(recorded, label), loss_of(logit_of(now), label))
            recent.add(recorded, label)
        # What a pinned version said is that of models as they once were, and tells nothing of the present ones.
        own = {} if example.model.version in self._state.distrusted else example.own
        times = example.as_of, due_at(example)
        # Where all have recorded theirs nobody is compared by predictions of now.
        late_too = not own.keys() >= self.contenders.keys()
        for name, contender in self.contenders.items():
            losses[name] = contender.judge(x, label, own.get(name), times, late_too=late_too, enough=enough)
        losses[_TO_BEAT] = losses[better if self.champion == RULE else self.champion]
        return losses

    def compare(self, losses: Mapping[str, Losses]) -> None:
        """Like with like: recorded predictions of both, or else late ones of both."""
        league, block = self._state.league, self._settings.promotion_block
        first = losses[_TO_BEAT]
        for name, test in league.tests.items():
            other = losses[name]
            if first.recorded is not None and other.recorded is not None:
                test.add(first.recorded - other.recorded, block)
            elif first.late is not None and other.late is not None:
                test.add(first.late - other.late, block)

    def learn(self, x: Matrix, label: int) -> None:
        """Let all candidates learn one example."""
        for contender in self.contenders.values():
            contender.learn(x, label)

    def decide(self) -> None:
        """Promote who has earned it, unless only commands may."""
        league, error = self._state.league, self.error
        winner = league.winner(error) if self._settings.promotion == "auto" else None
        if winner is not None:
            test = league.tests[winner]
            self._crown(
                winner,
                f"log loss {test.gain:.4f} below {'rule and prior' if league.champion == RULE else league.champion}, "
                f"{test.rows} predictions compared, error at most {error:g}",
            )

    # -- commands ------------------------------------------------------------------------------------

    def promote(self, name: str, why: str) -> None:
        """Make a candidate, or the rule, the champion; the league goes on against it.

        Raises
        ------
        ValueError
            When there is none of that name, or it is the champion already.
        """
        if name == self.champion:
            raise ValueError(f"'{name}' is the champion already")
        if name not in self._state.league.tests:
            allowed = ", ".join(sorted(self._state.league.tests))
            raise ValueError(f"no model '{name}' in the league (allowed: {allowed})")
        self._crown(name, why)

    def begin_fresh(self, examples: int) -> str:
        """Start a challenger of the champion's kind that knows only what comes after `examples`; returns its name.

        Raises
        ------
        ValueError
            When `trainer.max_fresh` allows none, or there is no candidate.
        """
        if not self._settings.max_fresh or not self.contenders:
            raise ValueError("no challenger can be begun anew: trainer.max_fresh is 0, or there are no candidates")
        state = self._state
        leader = self.champion if self.champion != RULE else min(self.contenders, key=self._recent)
        state.begun += 1
        name = f"{leader.partition(_FRESH)[0]}{_FRESH}{state.begun}"
        self.contenders[name] = self._new(name, state.begun, examples)
        state.league.join(name)
        self._drop_surplus()
        return name

    def distrust(self, version: str) -> None:
        """From now on a version serves that is not the newest: what it records does not judge the present models."""
        others = [one for one in self._state.distrusted if one != version]
        self._state.distrusted = [*others, version][-_DISTRUSTED:]

    def _crown(self, name: str, why: str) -> None:
        state = self._state
        state.league.champion = name
        self._drop_surplus()
        state.league = League.of(name, [one for one in (RULE, *self.contenders) if one != name])
        state.why = why

    def _drop_surplus(self) -> None:
        fresh = [name for name in self.contenders if _FRESH in name and name != self.champion]
        for name in fresh[: max(0, len(fresh) - self._settings.max_fresh)]:
            del self.contenders[name]
            self._state.league.leave(name)

    def _recent(self, name: str) -> float:
        recent = self.contenders[name].facts.recent
        return recent.mean if recent.weight else math.inf

    def _new(self, name: str, number: int, begun: int = 0) -> Contender:
        return self._contender(name.partition(_FRESH)[0], _SEED + number, begun)

    def _contender(self, kind: str, seed: int, begun: int) -> Contender:
        return Contender(kind, self._features, self._label_kind, self._settings, seed, begun)

    # -- what is told and stored ---------------------------------------------------------------------

    def standings(self, examples: int) -> list[Standing]:
        """The league table: the champion first, then by recent log loss. The rule judged all `examples`."""
        found = [self._standing(name, examples) for name in (RULE, *self.contenders)]
        return sorted(
            found,
            key=lambda one: (
                one.alias != "champion",
                math.inf if one.recent_log_loss is None else one.recent_log_loss,
                one.name,
            ),
        )

    def _standing(self, name: str, examples: int) -> Standing:
        league, facts = self._state.league, None if name == RULE else self.contenders[name].facts
        recent = self._state.rule_recent if facts is None else facts.recent
        test = league.tests.get(name)
        return Standing(
            name=name,
            alias="champion" if name == league.champion else "challenger",
            begun=0 if facts is None else facts.begun,
            judged=examples if facts is None else facts.judged,
            recorded=examples if facts is None else facts.recorded,
            recent_log_loss=recent.mean if recent.weight else None,
            compared=0 if test is None else test.rows,
            evidence=0.0 if test is None else league.evidence(name, self.error),
        )

    def state(self) -> ContestState:
        """All of it as plain data."""
        self._state.contenders = {name: contender.state() for name, contender in self.contenders.items()}
        return self._state

    def load(self, state: ContestState, examples: int) -> None:
        """Go on from a state that was stored after `examples`.

        Candidates that the settings name no longer are left out; new ones join, and know nothing of the past.

        Raises
        ------
        ValueError
            When a candidate's state does not fit, or the league is not one of the rule and the contenders.
        """
        league = state.league
        if {league.champion, *league.tests} != {RULE, *state.contenders} or league.champion in league.tests:
            raise ValueError("the league is not one of the rule and the contenders")
        self._state, self.contenders = state, {}
        for name, stored in state.contenders.items():
            if stored.kind in self._settings.candidates:
                contender = self._contender(stored.kind, stored.seed, stored.begun)
                contender.load(stored)
                self.contenders[name] = contender
            else:
                league.leave(name)
        for name in self._settings.candidates:
            if name not in self.contenders:
                self.contenders[name] = self._new(name, 0, examples)
                league.join(name)
        if self.champion not in (RULE, *self.contenders):
            self._crown(RULE, f"{self.champion} is no longer among trainer.candidates")
