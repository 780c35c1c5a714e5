"""The league: which of the models that learn side by side is served, decided by a test that may be read at any time.

Every challenger bets, after each block of examples, that it is better than the champion on the next block: its
capital is multiplied by 1 + stake * score, where the score is the block's mean difference of log losses (champion's
minus challenger's, in nats, cut off at 1). The stake is chosen before the block is seen. As long as a challenger
is not better, its capital does not grow in expectation, so the chance that it ever reaches 1 / `error` is at most
`error` (Ville's inequality), however often one looks: a betting test [^1] of the difference in skill [^2]. All
challengers of a reign share a capital of 1, so the bound holds for all of them together. The rule is a challenger like
the others, so a champion that stops being better than the rule loses its place by the same test.

Two things keep the differences fair bets. Predictions of one customer less than a horizon apart share their outcome,
so only predictions whose windows cannot overlap are compared (`in_sample`), one of several per customer. And they are
pooled in blocks, so that the cut, which would favour a challenger that is a little better most of the time and very
wrong now and then, is hardly ever reached; where it speaks for the challenger it comes sooner than where against it.

[^1]: Waudby-Smith, Ramdas: Estimating means of bounded random variables by betting. JRSS B 86 (2024).
[^2]: Henzi, Ziegel: Valid sequential inference on probability forecast performance. Biometrika 109 (2022).
"""

from __future__ import annotations

import hashlib
import math
from typing import Literal

import msgspec

_DAY_S = 86_400.0
#: Largest difference in nats that one example counts with.
_LARGEST_NATS = 3.0
#: Where the score of a block is cut off, in nats; 1 - stake stays above 0.
_GAIN_LIMIT, _LOSS_LIMIT, _LARGEST_STAKE = 0.8, 1.0, 0.95
#: Blocks that only show how large the differences usually are.
_WARM_UP_BLOCKS = 6
#: Past blocks fade: the stake rests on about the last 100.
_KEEP = 1.0 - 1.0 / 100.0
#: Share of a reign's capital for challengers that join later; each takes half of what is left of it.
_RESERVE = 0.2


class PairTest(msgspec.Struct, forbid_unknown_fields=True):
    """One challenger's bets against the champion; `capital` is to be compared with 1 / error."""

    capital: float
    begun_with: float
    rows: int = 0
    blocks: int = 0
    pooled: int = 0
    pool: float = 0.0
    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def add(self, difference: float, block_rows: int) -> None:
        """Count one example: the champion's log loss minus the challenger's, in nats."""
        self.rows += 1
        self.pool += min(max(difference, -_LARGEST_NATS), _LARGEST_NATS)
        self.pooled += 1
        if self.pooled >= block_rows:
            mean, self.pool, self.pooled = self.pool / self.pooled, 0.0, 0
            self._settle(mean)

    @property
    def gain(self) -> float:
        """Mean difference in nats of about the last hundred blocks; above 0 the challenger is better."""
        return self.total / self.weight if self.weight else 0.0

    def _settle(self, mean: float) -> None:
        """Take the bet on a block, then learn from it for the next stake."""
        score = min(max(mean, -_LOSS_LIMIT), _GAIN_LIMIT)
        self.capital *= 1.0 + self._stake() * score
        self.blocks += 1
        self.weight = self.weight * _KEEP + 1.0
        self.squares = self.squares * _KEEP + score * score
        # Long inferiority is not remembered at length, so that a champion that rots is noticed soon.
        self.total = max(self.total * _KEEP + score, -math.sqrt(self.squares))

    def _stake(self) -> float:
        """What would have made the past grow most, less half a standard error; 0 without a lead."""
        if self.blocks < _WARM_UP_BLOCKS or self.squares <= 0.0:
            return 0.0
        lead = self.total - 0.5 * math.sqrt(self.squares)
        return min(max(lead / self.squares, 0.0), _LARGEST_STAKE)


class League(msgspec.Struct, forbid_unknown_fields=True):
    """The champion and the tests of all others against it."""

    champion: str
    tests: dict[str, PairTest]
    reserve: float = _RESERVE

    @staticmethod
    def of(champion: str, challengers: list[str]) -> League:
        """A new reign: all tests begin anew."""
        share = (1.0 - _RESERVE) / max(1, len(challengers))
        return League(champion=champion, tests={name: PairTest(share, share) for name in challengers})

    def join(self, name: str) -> None:
        """A challenger that comes later, or begins anew, with half of what is left for such."""
        self.reserve /= 2.0
        self.tests[name] = PairTest(self.reserve, self.reserve)

    def leave(self, name: str) -> None:
        """A challenger that is gone."""
        self.tests.pop(name, None)

    def evidence(self, name: str, error: float) -> float:
        """How far a challenger's test has come, in logs of its capital: 0 at its start (or worse), 1 at the bound."""
        test = self.tests[name]
        grown = test.capital / test.begun_with
        return min(1.0, math.log(grown) / -math.log(error * test.begun_with)) if grown > 1.0 else 0.0

    def winner(self, error: float) -> str | None:
        """The challenger to promote: of those whose capital reached 1 / `error` the one with the most."""
        name = max(self.tests, key=lambda one: self.tests[one].capital, default=None)
        return name if name is not None and self.tests[name].capital >= 1.0 / error else None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the league table.

    `recent_log_loss` is over about the last 2,000 examples, null before the first. `recorded` of the `judged` examples
    were judged by predictions recorded at their time; `begun` is the number of examples before its first. `compared`
    predictions are in its test against the champion, `evidence` is how far that has come (1: promoted).
    """

    name: str
    alias: Literal["champion", "challenger"]
    begun: int
    judged: int
    recorded: int
    recent_log_loss: float | None
    compared: int
    evidence: float


def in_sample(customer_id: str, as_of: float, horizon_days: float, every_days: float) -> bool:
    """Whether a prediction is one of those that are compared: of each customer at most one per horizon.

    Time is cut into lengths of `horizon_days + every_days`, for each customer from another moment on, and the last
    prediction before each cut counts. As predictions are at least `every_days` apart, their windows never overlap; no
    memory is needed, and every prediction has the same chance to count.
    """
    length, every = (horizon_days + every_days) * _DAY_S, every_days * _DAY_S
    digest = hashlib.blake2b(customer_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    begin = int.from_bytes(digest, "big") / 2.0**64 * length
    return (as_of - begin) % length >= length - every
