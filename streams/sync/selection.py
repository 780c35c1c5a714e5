"""Whether a score is news for a destination, given what the destination last accepted. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from models.records import Score
from streams.destinations.base import ChangeKind
from streams.sync.ledger import Accepted, Attempt

SkipReason = Literal["older", "repeated", "dead", "unlikely", "unchanged"]


class Decision(msgspec.Struct, frozen=True):
    """Either a kind of change to send, or the reason why there is nothing to send."""

    send: ChangeKind | None = None
    skip: SkipReason | None = None


def decide(
    score: Score, payload_hash: str, accepted: Accepted | None, attempt: Attempt | None, *, only_likely: bool
) -> Decision:
    """Compare a score with what the destination knows.

    With `only_likely` a destination hears of a customer who becomes likely to churn, changes band while likely, or no
    longer is likely after it was told so. Otherwise it hears of everything that changes the mapped payload.
    """
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
