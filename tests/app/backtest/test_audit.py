"""Planted leaks: each kind is found through the command, and what is clean is said to be."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

import pytest

from app.cli import main

START, DAY = 1_735_689_600.0, 86_400.0
CUSTOMERS, DAYS = 120, 90
USUAL = ("Product Viewed", "Order Completed", "Products Searched")
LABEL = ["--label", "cancellation:14d", "--every", "1d"]


def iso(time):
    return datetime.fromtimestamp(time, UTC).isoformat()


def event(customer, day, name, **fields):
    time = START + day * DAY
    body = {
        "type": "track", "event": name, "userId": f"c{customer}", "messageId": f"{customer} {day} {name}",
        "timestamp": iso(time), "properties": {"total": 10.0, "plan": "a", "amount": 1.0}, **fields,
    }  # fmt: skip
    return time, body


def shop(plant=lambda customer, left: ()):
    """A subscription shop where every second customer leaves on a day that nothing tells; `plant` adds events."""
    chance, events = random.Random(3), []
    for customer in range(CUSTOMERS):
        left = chance.uniform(10, DAYS - 5) if customer % 2 else None
        joined = chance.uniform(0, 5)
        events.append(event(customer, joined, "Subscription Started"))
        for _ in range(25):
            day = chance.uniform(joined, left or DAYS)
            events.append(event(customer, day, chance.choice(USUAL)))
        if left:
            events.append(event(customer, left, "Subscription Cancelled"))
        events += plant(customer, left)
    return [body for _, body in sorted(events, key=lambda pair: pair[0])]


def audit(tmp_path, events, *more):
    """The exit status and the findings of a backtest of these events."""
    source, target = tmp_path / "events.ndjson", tmp_path / "out.json"
    source.write_text("".join(json.dumps(body) + "\n" for body in events))
    status = main(["backtest", str(source), *LABEL, "--audit", "--json", str(target), *more])
    return status, json.loads(target.read_bytes())["audit"]


def kinds(found):
    return {finding["kind"] for finding in found["findings"]}


def test_a_clean_history_is_said_to_be_clean(tmp_path, capsys):
    """Without a leak the status is 0, and what was looked for is told."""
    status, found = audit(tmp_path, shop())

    assert (status, found["clean"], found["findings"]) == (0, True, [])
    assert len(found["checks"]) == 6
    assert "audit: no leak found; looked for" in capsys.readouterr().out


def test_events_known_long_after_they_happened_are_found(tmp_path, capsys):
    """Events that were received weeks later than they say must not be in a prediction before."""

    def plant(customer, left):
        late = {"receivedAt": iso(START + (DAYS - 1) * DAY)}
        return [event(customer, 8.5, "Product Added", **late)]

    status, found = audit(tmp_path, shop(plant))

    assert (status, kinds(found)) == (1, {"known_too_late"})
    assert "up to 74.0 days later" in found["findings"][0]["sentence"]
    assert "audit: fault (known_too_late)" in capsys.readouterr().out


def test_events_on_their_way_for_a_day_are_no_leak(tmp_path):
    """Phones without a network send later; that is no leak."""

    def plant(customer, _):
        return [event(customer, 8.5, "Product Added", receivedAt=iso(START + 9.9 * DAY))]

    assert audit(tmp_path, shop(plant))[0] == 0


def test_events_after_leaving_are_found(tmp_path):
    """Customers who go on as ever after their cancellation were not what the label says."""

    def plant(customer, left):
        return [event(customer, left + days, "Product Viewed") for days in (2, 3, 4)] if left else []

    status, found = audit(tmp_path, shop(plant))

    assert (status, kinds(found)) == (1, {"after_leaving"})


def test_an_event_that_echoes_leaving_is_found_by_its_name(tmp_path):
    """The page where one cancels tells who leaves, since only they see it."""

    def plant(customer, left):
        return [event(customer, left - 0.5, "Cancel Page Opened")] if left else []

    status, found = audit(tmp_path, shop(plant))

    assert (status, found["findings"][0]["kind"], found["findings"][0]["subject"]) == (
        1, "label_echo", "Cancel Page Opened",
    )  # fmt: skip


def test_a_column_that_knows_who_leaves_is_found(tmp_path):
    """One kind of event that only leavers have, weeks before, makes a column that is too good to be true."""

    def plant(customer, left):
        return [event(customer, left - half / 2, "Payment Failed") for half in range(1, 28)] if left else []

    status, found = audit(tmp_path, shop(plant), "--from", "2025-01-20")

    columns = [finding["subject"] for finding in found["findings"] if finding["kind"] == "single_feature"]
    assert status == 1
    assert any("payment" in column for column in columns)


def test_labels_learned_too_early_are_found(tmp_path, monkeypatch):
    """A waiting room that is too small lets leavers be learned before their horizon ends."""
    monkeypatch.setenv("EBBTIDE_TRAINER_MAX_WAITING", "1")

    status, found = audit(tmp_path, shop())

    assert (status, kinds(found)) == (1, {"early_learning"})


def test_predictions_that_rest_on_a_later_truth_are_found(tmp_path, monkeypatch):
    """Who comes back is predicted again; a label learned too early reaches beyond that prediction."""
    monkeypatch.setenv("EBBTIDE_TRAINER_MAX_WAITING", "1")

    def plant(customer, left):
        return [event(customer, left + 1, "Subscription Started")] if left else []

    status, found = audit(tmp_path, shop(plant))

    assert (status, kinds(found)) == (1, {"early_learning", "overlap"})


@pytest.mark.parametrize("kind", ["inactivity:14d", "cancellation:14d"])
def test_the_simulated_shop_is_clean(tmp_path, kind):
    """Its late, doubled and skewed events are no leaks."""
    assert main(["backtest", "simulator:customers=80,days=60", "--label", kind, "--audit"]) == 0
