from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.records import Score
from models.settings import SyncSettings
from streams.sync.ledger import Accepted, Attempt
from streams.sync.selection import Decision, decide
from tests.streams.sync.support import SECRET, make_score, webhook_of

_WEBHOOK = webhook_of(SyncSettings(webhook_url="https://x.example", webhook_secret=SECRET))


def digest(score: Score) -> str:
    return _WEBHOOK.fingerprint(_WEBHOOK.change(score))


def taken(score: Score) -> Accepted:
    """The ledger's row after `score` was accepted."""
    return Accepted(
        score.customer_id,
        digest(score),
        score.likelihood_to_churn,
        score.band,
        score.score_id,
        score.revision,
        score.scored_at,
        0.0,
    )


def tried(score: Score, maybe_likely: bool | None, *, dead: bool = False) -> Attempt:
    return Attempt(score.customer_id, score.score_id, 0.0, 1, maybe_likely, dead)


def choose(score: Score, accepted: Accepted | None = None, attempt: Attempt | None = None, *, only: bool = True) -> str:
    decision = decide(score, digest(score), accepted, attempt, only_likely=only)
    return str(decision.send or decision.skip)


LOW, HIGH = make_score("ada", likely=False, revision=5), make_score("ada", revision=5)
CRITICAL = make_score("ada", revision=5, band="critical", probability=0.8)
WAS_LOW, WAS_HIGH = taken(make_score("ada", likely=False)), taken(make_score("ada"))


@pytest.mark.parametrize(
    ("score", "accepted", "only_likely", "everything"),
    [
        (LOW, None, "unlikely", "updated"),
        (HIGH, None, "entered", "entered"),
        (HIGH, WAS_LOW, "entered", "entered"),
        (HIGH, WAS_HIGH, "unchanged", "unchanged"),
        (make_score("ada", revision=5, probability=0.51), WAS_HIGH, "unchanged", "updated"),
        (CRITICAL, WAS_HIGH, "updated", "updated"),
        (LOW, WAS_HIGH, "exited", "exited"),
        (LOW, WAS_LOW, "unlikely", "unchanged"),
        (make_score("ada", revision=5, likely=False, probability=0.06), WAS_LOW, "unlikely", "updated"),
        (make_score("ada", revision=5, likely=False, band="medium"), WAS_LOW, "unlikely", "updated"),
    ],
)
def test_what_is_news(score: Score, accepted: Accepted | None, only_likely: str, everything: str) -> None:
    """Flips and band changes of likely customers are news; everything changed is, when everything is asked for."""
    assert choose(score, accepted) == only_likely
    assert choose(score, accepted, only=False) == everything


def test_accepted_score_is_not_repeated() -> None:
    """A score whose id was accepted is not sent again, whatever is read twice."""
    assert choose(HIGH, taken(HIGH)) == "repeated"


def test_dead_score_is_not_tried_again() -> None:
    """A refused score read again after a restart stays dead, but the customer's next score gets its chance."""
    assert choose(HIGH, None, tried(HIGH, None, dead=True)) == "dead"
    assert choose(make_score("ada", revision=6), None, tried(HIGH, None, dead=True)) == "entered"


def test_older_score_is_not_sent_after_a_newer_one() -> None:
    """A record from before the accepted score, read again after a restart, does not turn the customer back."""
    assert choose(make_score("ada", revision=3, likely=False), taken(HIGH)) == "older"


def test_rebuilt_worker_state_is_not_taken_for_old() -> None:
    """A lower revision with a later clock is a worker that began anew, and is heard."""
    rebuilt = make_score("ada", revision=1, likely=False, score_id="anew-1", scored_at="2026-05-01T00:00:00+00:00")

    assert choose(rebuilt, taken(HIGH)) == "exited"


def test_clock_skew_is_not_taken_for_old() -> None:
    """A higher revision with an earlier clock comes from another machine, and is heard."""
    skewed = make_score("ada", revision=9, likely=False, scored_at="2026-01-01T00:00:00Z")

    assert choose(skewed, taken(HIGH)) == "exited"


def test_unreadable_clock_is_not_taken_for_old() -> None:
    """If the times cannot be compared the score is heard."""
    assert choose(make_score("ada", revision=2, likely=False, scored_at="yesterday"), taken(HIGH)) == "exited"


def test_lost_answer_is_put_right() -> None:
    """What an unanswered request may have told the destination is corrected or repeated by the next score."""
    maybe_entered, maybe_exited = tried(make_score("ada"), True), tried(make_score("ada", likely=False), False)

    assert choose(LOW, None, maybe_entered) == "exited"
    assert choose(HIGH, WAS_HIGH, maybe_exited) == "entered"
    assert choose(HIGH, WAS_HIGH, maybe_entered) == "updated"
    assert choose(LOW, WAS_LOW, maybe_exited) == "exited"
    assert choose(LOW, None, tried(make_score("ada"), None)) == "unlikely"


@given(
    states=st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b"]), st.sampled_from(["ok", "lost", "kept"]))),
    only_likely=st.booleans(),
)
@settings(max_examples=300)
def test_receiver_ends_right_after_any_history(states: list[tuple[bool, str, str]], only_likely: bool) -> None:
    """However requests are answered, once the last one is answered the receiver believes what is true.

    `ok` is answered, `lost` never arrived, `kept` arrived with its answer lost.
    """
    accepted: Accepted | None = None
    attempt: Attempt | None = None
    believed = False
    for number, (likely, band, fate) in enumerate([*states, (*(states[-1][:2] if states else (True, "a")), "ok")]):
        score = make_score("ada", revision=number + 1, likely=likely, band=band, score_id=f"s{number}")
        decision: Decision = decide(score, digest(score), accepted, attempt, only_likely=only_likely)
        if decision.send is None:
            continue
        if fate in {"ok", "kept"}:
            believed = likely
        if fate == "ok":
            accepted, attempt = taken(score), None
        else:
            attempt = tried(score, likely)

    assert believed == (states[-1][0] if states else True)


def test_reason_or_kind_never_both() -> None:
    """Every decision either sends or says why not."""
    scores = (LOW, HIGH, CRITICAL)
    ledgers = (None, WAS_LOW, WAS_HIGH)
    attempts = (None, tried(HIGH, True), tried(LOW, False), tried(HIGH, None, dead=True))
    for score, accepted, attempt, only in itertools.product(scores, ledgers, attempts, (True, False)):
        decision = decide(score, digest(score), accepted, attempt, only_likely=only)

        assert (decision.send is None) != (decision.skip is None)
