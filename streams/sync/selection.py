"""Whether a score is news for a destination, given what the destination last accepted. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from models.records import Score
from streams.destinations.base import ChangeKind
from streams.destinations.contract.options import Mode
from streams.sync.ledger import Accepted, Attempt

SkipReason = Literal["older", "repeated", "dead", "unlikely", "unchanged", "no_consent", "no_id"]


#: Modes that speak of the customers who are likely to churn, and of no others.
_LIKELY_ALONE = frozenset({"mirror", "event"})


class Decision(msgspec.Struct, frozen=True):
    """Either a kind of change to send, or the reason why there is nothing to send."""

    send: ChangeKind | None = None
    skip: SkipReason | None = None


def decide(
    score: Score, payload_hash: str, accepted: Accepted | None, attempt: Attempt | None, *,
    only_likely: bool, mode: Mode = "upsert", allowed: bool = True,
) -> Decision:  # fmt: skip
    """Compare a score with what the destination knows.

    With `only_likely` a destination hears of a customer who becomes likely to churn, changes band while likely, or no
    longer is likely after it was told so. Otherwise it hears of everything that changes the mapped payload. In mode
    `event` it hears only of entering and leaving, in mode `mirror` it holds the likely ones alone, in mode `full` it
    hears of every score once, changed or not. Without consent nothing is sent; but a mirror that has the customer is
    asked to remove them.
    """
    if not allowed:
        return _without_consent(score, mode, accepted, attempt)
    decision = _compared(score, payload_hash, accepted, attempt, only_likely=only_likely or mode in _LIKELY_ALONE)
    if mode == "event" and decision.send == "updated":
        return Decision(skip="unchanged")
    if mode == "full" and decision.skip == "unchanged":
        return Decision(send="updated")
    return decision


def _without_consent(score: Score, mode: Mode, accepted: Accepted | None, attempt: Attempt | None) -> Decision:
    there = (accepted is not None and accepted.likely) or (attempt is not None and attempt.maybe_likely is True)
    refused = attempt is not None and attempt.dead and attempt.score_id == score.score_id
    return Decision(send="exited") if mode == "mirror" and there and not refused else Decision(skip="no_consent")


def _compared(
    score: Score, payload_hash: str, accepted: Accepted | None, attempt: Attempt | None, *, only_likely: bool
) -> Decision:
    if accepted is not None and accepted.score_id == score.score_id:
        return Decision(skip="repeated")
    if attempt is not None and attempt.dead and attempt.score_id == score.score_id:
        return Decision(skip="dead")
    if accepted is not None and _older(score, accepted):
        return Decision(skip="older")
    # What an unanswered request may have told the destination is put right by sending, whatever was accepted.
    maybe_likely = None if attempt is None else attempt.maybe_likely
    if score.likelihood_to_churn:
        return _likely(score, payload_hash, accepted, maybe_likely, only_likely=only_likely)
    if (accepted is not None and accepted.likely) or maybe_likely:
        return Decision(send="exited")
    if only_likely:
        return Decision(skip="unlikely") if maybe_likely is None else Decision(send="exited")
    return _updated(payload_hash, accepted, maybe_likely)


def _likely(
    score: Score, payload_hash: str, accepted: Accepted | None, maybe_likely: bool | None, *, only_likely: bool
) -> Decision:
    if accepted is None or not accepted.likely or maybe_likely is False:
        return Decision(send="entered")
    if only_likely and accepted.band == score.band and maybe_likely is None:
        return Decision(skip="unchanged")
    return _updated(payload_hash, accepted, maybe_likely)


def _updated(payload_hash: str, accepted: Accepted | None, maybe_likely: bool | None) -> Decision:
    if accepted is not None and accepted.payload_hash == payload_hash and maybe_likely is None:
        return Decision(skip="unchanged")
    return Decision(send="updated")


def _older(score: Score, accepted: Accepted) -> bool:
    """Whether the score precedes the accepted one, as when records are read again after a restart.

    Revision and clock must agree. A lower revision alone may come from a worker whose state was built anew, an
    earlier clock alone from a second machine.
    """
    if score.revision >= accepted.revision:
        return False
    try:
        return datetime.fromisoformat(score.scored_at) <= datetime.fromisoformat(accepted.scored_at)
    except (ValueError, TypeError):
        return False
