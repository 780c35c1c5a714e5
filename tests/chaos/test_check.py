"""The checks find every kind of defect that is planted in a good result."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from app.chaos.check import Verdict, check
from app.chaos.evidence import Evidence, SeenExample, State, Told, Trained, as_compacted, follow
from app.chaos.expected import Expected
from models.features import FEATURE_NAMES
from models.settings import LabelSettings
from models.table import Table

DAY_S = 86_400.0


class Record(NamedTuple):
    """What is read of a changelog record."""

    offset: int
    key: bytes
    value: bytes | None


LABEL = LabelSettings(horizon_days=10)
ROW = [float(i) for i in range(len(FEATURE_NAMES))]
GONE = [math.nan, *ROW[1:]]


def expected() -> Expected:
    """Two customers: one stays, one leaves on day 5; three events, a repeat, and a broken record."""
    return Expected(
        now=30 * DAY_S, sent={b"e1": 1, b"e2": 2, b"e3": 1, b"bad": 1}, broken={b"bad"},
        features={"stays": ROW, "gone": GONE}, applied={"stays": 2, "gone": 1}, leaves={"gone": [5 * DAY_S]},
        valid=3, repeats=1,
    )  # fmt: skip


def good() -> Evidence:
    """What the topics hold when all is well."""
    log = {("purchases", 0, i): key for i, key in enumerate((b"e1", b"e2", b"bad", b"e2", b"e3"))}
    states = {
        "stays": State(2, ROW, Told(3, 0.25, "medium"), snapshots=2, pending=[9 * DAY_S]),
        "gone": State(1, GONE, Told(2, math.nan, "left"), snapshots=1, pending=[]),
    }
    raw = {"stays": b"s", "gone": b"g"}
    return Evidence(
        log=log, quarantined={("purchases", 0, 2): 1}, states=states, raw_states=raw, compacted=dict(raw),
        scores={"stays": Told(3, 0.25, "medium"), "gone": Told(2, 1.0, "left")},
        examples=[
            SeenExample("stays@1", "stays", DAY_S, 0), SeenExample("gone@2", "gone", 2 * DAY_S, 1),
            SeenExample("gone@2", "gone", 2 * DAY_S, 1),
        ],
        trained=Trained(examples=1, waiting=1), zombies=0, rerouted=0,
    )  # fmt: skip


def of(customer_id: str, **changes: Any) -> Callable[[Evidence], None]:
    """Plant a change in one customer's state."""

    def plant(found: Evidence) -> None:
        found.states[customer_id] = msgspec.structs.replace(found.states[customer_id], **changes)

    return plant


def forget_customer(found: Evidence) -> None:
    for kept in (found.states, found.scores, found.raw_states, found.compacted):
        del kept["gone"]
    found.examples = found.examples[:1]
    found.trained = Trained(1, 0)


def swap_label(found: Evidence) -> None:
    found.examples[0] = msgspec.structs.replace(found.examples[0], label=1)


def late_label(found: Evidence) -> None:
    found.examples[1:] = [SeenExample("gone@2", "gone", 2 * DAY_S, 0)]


def learn(examples: int) -> Callable[[Evidence], None]:
    def plant(found: Evidence) -> None:
        found.trained = Trained(examples, 1)

    return plant


def test_a_good_result_is_clean() -> None:
    """Nothing lost, doubled or mismatched; examples that were told twice are a figure, no defect."""
    verdict = check(expected(), good(), LABEL)

    assert str(verdict) == "0 lost, 0 doubled, 0 mismatched"
    assert verdict.clean
    assert verdict.findings == []
    assert verdict.figures["examples told again"] == 1
    assert verdict.figures["repeated records dropped"] == 1


DEFECTS: dict[str, tuple[Callable[[Evidence], Any], str, str]] = {
    "a record vanished from the log": (lambda e: e.log.pop(("purchases", 0, 4)), "1 lost", "not in the log"),
    "a record came from nowhere": (
        lambda e: e.log.update({("purchases", 1, 0): b"?"}), "1 mismatched", "nobody sent"),
    "a broken record is missing in quarantine": (lambda e: e.quarantined.clear(), "1 lost", "missing in quarantine"),
    "a good record is in quarantine": (
        lambda e: e.quarantined.update({("purchases", 0, 0): 1}), "1 mismatched", "not broken"),
    "an event is lost": (of("stays", applied=1), "1 lost", "stays has 1 of 2"),
    "an event is doubled": (of("stays", applied=3), "1 doubled", "stays has 3 for 2"),
    "a customer is lost": (forget_customer, "1 lost", "gone has 0 of 1"),
    "a customer is a stranger": (
        lambda e: e.states.update(who=State(0, ROW, Told(0, math.nan, ""), 0, [])), "1 mismatched", "nobody has sent"),
    "a feature differs": (of("stays", features=[*ROW[:-1], 0.5]), "1 mismatched", FEATURE_NAMES[-1]),
    "a feature became unknown": (of("stays", features=[math.nan, *ROW[1:]]), "1 mismatched", FEATURE_NAMES[0]),
    "a score is stale": (
        lambda e: e.scores.update(stays=Told(2, 0.25, "medium")), "1 mismatched", "last score"),
    "a probability differs": (
        lambda e: e.scores.update(stays=Told(3, 0.26, "medium")), "1 mismatched", "last score"),
    "a score is missing": (lambda e: e.scores.pop("gone"), "1 mismatched", "last score"),
    "a score has no state": (
        lambda e: e.scores.update(who=Told(1, 0.5, "high")), "1 mismatched", "without a state"),
    "an example is missing": (of("stays", snapshots=3), "1 lost", "examples missing"),
    "an example is of no prediction": (of("stays", snapshots=1), "1 doubled", "no state kept"),
    "a label is wrong": (swap_label, "1 mismatched", "wrong label"),
    "a label came too early": (late_label, "1 mismatched", "wrong label"),
    "an example was not learned": (learn(0), "1 lost", "does not know"),
    "an example was learned twice": (learn(2), "1 doubled", "knows twice"),
    "compaction would keep an evicted writer's state": (
        lambda e: e.compacted.update(gone=b"old"), "1 mismatched", "compacted"),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_found(name: str) -> None:
    """Each defect is counted as what it is, named, and the only finding."""
    plant, counted, named = DEFECTS[name]
    evidence = good()
    plant(evidence)

    verdict = check(expected(), evidence, LABEL)

    assert [part for part in str(verdict).split(", ") if not part.startswith("0 ")] == [counted]
    assert not verdict.clean
    assert [finding for finding in verdict.findings if named in finding] == verdict.findings != []


def test_a_label_at_the_border_of_its_horizon_is_tolerated() -> None:
    """Within the last hour it is open whether the event or the clock of the other topics comes first."""
    truth, evidence = expected(), good()
    truth.leaves["stays"] = [11 * DAY_S - 600.0]

    verdict = check(truth, evidence, LABEL)

    assert verdict.clean
    assert verdict.figures["labels decided at the border of their horizon"] == 1


def test_findings_name_the_first_cases_only() -> None:
    """A thousand lost events are one line."""
    verdict = Verdict()

    verdict.note("events lost", [f"c{i}" for i in range(9)], lost=1000)

    assert verdict.findings == ["1,000 events lost: c0, c1, c2, c3, c4, ..."]


def state(key: bytes, epoch: int, offset: int) -> Record:
    table = Table()
    rows = np.array([table.add(key.decode())])
    return Record(offset, key, table.encode(rows, epoch)[0])


def test_records_of_evicted_writers_do_not_count() -> None:
    """Behind a claim, records with a smaller epoch are ignored; a tombstone takes its customer away."""
    states: dict[str, bytes] = {}
    newest = state(b"a", 2, 3)
    log = [
        state(b"a", 1, 0), state(b"b", 1, 1), Record(2, b"\x00owner", b'{"epoch":2,"member":"m"}'), newest,
        state(b"a", 1, 4), state(b"b", 1, 5), Record(6, b"b", None),
    ]  # fmt: skip

    ignored = follow(log, states)

    assert (ignored, states) == (2, {"a": newest.value})


def test_compaction_keeps_the_newest_record_of_a_key() -> None:
    """So an evicted writer's late record, if nobody wrote behind it, takes the owner's place: a defect to be found."""
    log = [Record(0, b"\x00owner", b'{"epoch":2}'), state(b"a", 2, 1), state(b"b", 2, 2), state(b"a", 1, 3)]
    whole: dict[str, bytes] = {}
    compacted: dict[str, bytes] = {}

    follow(log, whole)
    follow(as_compacted(log), compacted)

    assert (sorted(whole), sorted(compacted)) == (["a", "b"], ["b"])
