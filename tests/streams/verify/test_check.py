"""The verifier on a story that a worker played without a broker: it agrees, and tells whatever is wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from models.features import FEATURE_NAMES
from models.features.view import View
from models.scoring import iso
from streams.topics import CLICKSTREAM, SOURCES
from streams.verify.check import Sample, check
from streams.verify.inputs import CannotVerify
from streams.verify.report import headline, lines
from streams.verify.store import INPUTS, open_store
from tests.streams.verify.support import DAY_S, START, Played, a_story, filled, raw, records, verified


def test_a_right_worker_has_no_mismatch() -> None:
    """States and scores of a worker that did its work are what SQL makes of the log."""
    report = verified(Played(records(a_story())))

    assert report.ok, list(lines(report))
    assert (report.customers, report.served, len(report.features)) == (2, 2, len(FEATURE_NAMES))
    assert headline(report) == f"2 customers x {len(FEATURE_NAMES)} features recomputed in SQL: 0 mismatches"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_a_lost_event_is_told(share: float) -> None:
    """A click that the worker read and did not apply shows for its customer, however old it is."""
    arrived = records(a_story())
    clicks = [at for at, record in enumerate(arrived) if record.topic == CLICKSTREAM]
    lost = clicks[int(share * len(clicks))]
    played = Played(arrived[:lost] + arrived[lost + 1 :])
    played.records = arrived
    report = verified(played)

    assert not report.ok
    assert "state" in report.wrong
    assert len({one.customer_id for one in report.mismatches}) == 1


def test_an_event_applied_twice_is_told() -> None:
    """An event whose guard did not hold shows, in its count by exactly one."""
    arrived = records(a_story())
    again = arrived[100]._replace(offset=10_000)
    played = Played([*arrived, again])
    played.records = arrived
    report = verified(played)

    found = [one for one in report.mismatches if one.feature == "events_total"]
    assert "state" in {one.check for one in found}
    assert [(one.expected or 0) + 1 for one in found] == [one.found for one in found]


def test_a_window_off_by_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of one day too many in the worker's own code are found, and no other feature is accused."""

    def too_wide(view: View, days: int) -> Any:
        mask = (view._age >= 0) & (view._age <= days)
        return mask, view._owner[mask]

    monkeypatch.setattr(View, "_within", too_wide)
    report = verified(Played(records(a_story())))

    wrong = set(report.wrong["state"])
    assert {"clicks_90d", "active_days_7d", "orders_7d", "spend_7d", "contacts_7d"} <= wrong
    assert {
        name for name in wrong if name.startswith(("days_since", "events_total", "products", "click_rate"))
    } == set()


def test_a_customer_without_state_is_told() -> None:
    """Who has events on the log and no state is missing, and named."""
    played = Played(records(a_story()))
    del played.states["bert"]
    report = verified(played)

    assert not report.ok
    assert (report.without_state, report.without_events, report.named) == (1, 0, ("bert",))
    assert "1 customers without state" in headline(report)


def test_a_customer_without_events_is_told() -> None:
    """A state that no event accounts for is missing on the other side."""
    played = Played(records(a_story()))
    played.states["ghost"] = played.states["bert"]
    report = verified(played)

    assert not report.ok
    assert (report.without_state, report.without_events, report.named) == (0, 1, ("ghost",))


def test_a_wrong_served_value_is_told_alone() -> None:
    """A score that says something else than its own events is found, though the state is right."""
    played = Played(records(a_story()))
    score = played.scores["anna"]
    played.scores["anna"] = msgspec.structs.replace(score, features=dict(score.features) | {"spend_90d": 1.0})
    report = verified(played)

    assert report.wrong == {"served": {"spend_90d": 1}}
    [one] = report.mismatches
    assert (one.customer_id, one.found, iso(one.as_of)) == ("anna", 1.0, score.as_of)


def test_a_score_knows_the_events_that_it_names() -> None:
    """A score older than the state is compared with the events up to its own offsets."""
    arrived = records(a_story())
    half = Played(arrived[:100])
    whole = Played(arrived)
    whole.scores = half.scores
    report = verified(whole)

    assert report.ok, list(lines(report))
    assert report.served == 2


@pytest.mark.parametrize("applied", [0, 30, 120])
def test_events_beyond_the_cut_count_where_the_states_hold_them(applied: int) -> None:
    """On a system that goes on, events behind the ends that were waited for count if a state's offsets say so."""
    arrived = records(a_story())
    played = Played(arrived[:150])
    played.records = arrived
    with filled(played) as (store, inputs):
        ends = dict.fromkeys(SOURCES, 0)
        for record in arrived[:applied]:
            ends[record.topic] = record.offset + 1
        store.create("cut", INPUTS["cut"])
        store.append_rows("cut", INPUTS["cut"], ((topic, 0, end) for topic, end in ends.items()))
        report = check(store, inputs, Sample(), None)

    assert report.ok, list(lines(report))
    assert report.events == 150


def test_the_cut_off_millisecond_of_a_score_is_no_mismatch() -> None:
    """A score computed late in a millisecond may differ in the last decimal from one computed at its beginning."""
    played = Played([])
    apart = 0.00085
    # Half a last decimal of a day before a step of the rounding, so that it lies inside of the millisecond.
    now = np.ceil((START + 1000) / 8.64) * 8.64 + 4.32
    now = np.floor(now * 1000) / 1000 + apart
    played = Played(records([raw("page", "c", 0.0), raw("Order Completed", "c", 0.0, revenue=1)]), turn=9)
    played.flush(float(now))
    played.engine.retell(["c"])
    played.flush(float(now))
    report = verified(played)

    assert played.scores["c"].as_of == iso(float(now))
    assert report.ok, list(lines(report))


def test_a_sample_is_drawn_by_its_seed() -> None:
    """The same seed compares the same customers, another one others; missing customers are told in any case."""
    values = [raw("page", f"c{i}", i / 10) for i in range(50)]
    played = Played(records(values))
    customers = sorted(played.states)

    assert verified(played, Sample(10)).customers == 10
    assert Sample(10, 1).of(customers) == Sample(10, 1).of(customers)
    assert Sample(10, 1).of(customers) != Sample(10, 2).of(customers)
    assert Sample(99).of(customers) == customers
    del played.states["c7"]
    assert verified(played, Sample(1)).named == ("c7",)


def test_states_are_compared_as_of_a_given_time() -> None:
    """A later time is taken as it is; one before the states' clock is refused, since older days were dropped."""
    played = Played(records(a_story()))
    later = played.clock + 40 * DAY_S
    report = verified(played, as_of=later)

    assert report.ok, list(lines(report))
    assert report.as_of == later
    with pytest.raises(CannotVerify, match="they dropped days by a later clock"):
        verified(played, as_of=played.clock - DAY_S)


def test_one_clock_far_ahead_does_not_empty_every_window() -> None:
    """States are compared near the worker's clock, even if one event is stamped years ahead."""
    played = Played(records(a_story()))
    clock = played.clock
    played = Played(records([*a_story(), raw("page", "bert", 199.0)]))
    report = verified(played, clock_at=clock)

    assert report.as_of <= clock + played.settings.score.refresh_every_s or report.as_of == played.clock
    assert report.ok, list(lines(report))


def test_the_wall_clock_compares_as_of_the_present() -> None:
    """A worker that lives by the wall clock is compared as of when the log was read."""
    played = Played(records(a_story()))
    report = verified(played, clock="wall", read_at=played.clock + 3 * DAY_S)

    assert report.as_of == played.clock + 3 * DAY_S
    assert report.ok, list(lines(report))


def test_an_empty_log_is_no_success() -> None:
    """Nothing to compare is refused instead of told as no mismatch."""
    with pytest.raises(CannotVerify, match="nothing to verify"):
        verified(Played([]))


def test_a_truncated_log_compares_what_it_determines() -> None:
    """With the beginning removed, only windows inside of the rest are compared, and the report says so."""
    arrived = records(a_story())
    played = Played(arrived)
    rest = 90 * DAY_S + START
    played.records = [record for record in arrived if msgspec.json.decode(record.raw)["timestamp"] >= rest]
    removed = len(arrived) - len(played.records)
    report = verified(played, removed=removed, complete_from=rest)

    assert report.ok, list(lines(report))
    assert {"clicks_7d", "spend_7d"} <= set(report.features)
    assert {name for name in report.features if name.endswith(("_90d", "_total", "_rate"))} == set()
    assert report.served == 0
    assert f"retention has removed {removed} records" in "\n".join(lines(report))


@pytest.mark.parametrize("complete_from", [None, START + 125 * DAY_S])
def test_a_log_that_determines_nothing_is_refused(complete_from: float | None) -> None:
    """If no window lies inside of what is left, or nobody knows what is left, there is no verification."""
    with pytest.raises(CannotVerify, match="retention has removed 5 records"):
        verified(Played(records(a_story())), removed=5, complete_from=complete_from)


def test_an_event_that_only_the_worker_can_read_is_told() -> None:
    """An accepted record that SQL makes no event of is a difference, not a detail."""
    played = Played(records(a_story()))
    played.records.append(played.records[0]._replace(offset=999, raw=b"no json"))
    report = verified(played)

    assert not report.ok
    assert report.unreadable == 1


def test_refused_events_count_for_nothing() -> None:
    """What the worker refused is left out on both sides, and counted."""
    late = raw("page", "anna", 30.0)
    arrived = records([*a_story(), late, b'{"type":"page"}'])
    played = Played([*arrived[:-2], arrived[-1]])
    played.records = arrived
    played.refused.append((*arrived[-2][:3], "late"))
    report = verified(played)

    assert report.ok, list(lines(report))
    assert report.refused == 2


def test_the_message_of_a_poisonous_event_is_known() -> None:
    """Repeats of an event that failed while it was applied are dropped, as the worker drops them."""
    first = raw("page", "anna", 5.0, message="m1")
    arrived = records([raw("page", "anna", 1.0), first, first])
    played = Played(arrived[:1])
    played.records = arrived
    played.refused.append((*arrived[1][:3], "internal_error"))
    report = verified(played)

    assert report.ok, list(lines(report))
    assert report.repeats == 1


def test_repeats_beyond_the_workers_window_are_explained() -> None:
    """A repeat that came after more messages than the worker remembers may have been counted: the report says why."""
    values = [raw("page", "anna", i / 100, message=f"m{i}") for i in range(80)]
    played = Played(records([*values, values[0]]))
    report = verified(played)

    assert not report.ok
    assert "1 repeats came more than 64 messages of their customer later" in "\n".join(lines(report))


def test_repeats_that_differ_are_noted() -> None:
    """Of two messages with one id the first counts; that they differ is worth a line."""
    values = [
        raw("Order Completed", "anna", 1.0, "m1", revenue=5),
        raw("Order Completed", "anna", 1.0, "m1", revenue=6),
    ]
    report = verified(Played(records(values)))

    assert report.ok, list(lines(report))
    assert "1 repeats say something else" in "\n".join(lines(report))


def test_scores_of_other_features_are_left_out() -> None:
    """A score of another feature version cannot be compared, and is not."""
    played = Played(records(a_story()))
    played.scores["anna"] = msgspec.structs.replace(played.scores["anna"], feature_version="older")
    report = verified(played)

    assert report.ok, list(lines(report))
    assert report.served == 1
    assert "1 scores have the features of another version" in "\n".join(lines(report))


def test_the_report_names_features_and_customers() -> None:
    """A person reads which feature is wrong how often, and for whom, with both values."""
    played = Played(records(a_story()))
    score = played.scores["anna"]
    played.scores["anna"] = msgspec.structs.replace(score, features=dict(score.features) | {"last_sentiment": None})
    text = "\n".join(lines(verified(played)))

    assert "mismatch  last_sentiment" in text
    assert "anna: last_sentiment expected " in text
    assert "found unknown (served, as of" in text


def test_the_newest_record_that_counts_is_kept() -> None:
    """The newest state counts, an evicted writer's only where there is no other, an erased one never."""
    rows = [
        ("a", 0, 1, False, b"old"), ("a", 0, 5, False, b"new"), ("a", 0, 9, True, b"late"), ("b", 0, 7, True, b"alone"),
        ("c", 0, 2, False, b"gone"), ("c", 0, 8, False, None),
    ]  # fmt: skip
    with open_store() as store:
        for row in rows:
            store.append_rows("states", INPUTS["states"], [row])
        store.newest("states")
        kept = dict(store.rows("SELECT customer_id, value FROM states"))

    assert kept == {"a": b"new", "b": b"alone"}
