"""The comparison of what the topics hold with what they should hold: lost, doubled, mismatched.

1. Every record that was sent lies in the log, and each broken one of the log, and no other, in quarantine.
2. Every customer's state counts each distinct valid event once, and its features are those of an offline computation.
3. The last score of each customer on the topic is that of the final state.
4. The examples on the topic and the predictions that wait are all predictions ever kept, each once, with the true
   label; and the trainer has learned each distinct one once.
5. A reader of the compacted changelog finds the same states as a reader of the whole.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec

from app.chaos.evidence import Evidence, SeenExample, Told
from app.chaos.expected import Expected
from models.features import FEATURE_NAMES
from models.settings import LabelSettings

_DAY_S = 86_400.0
#: Within this time before the end of a horizon (seconds) it is not decided who comes first: the event, or the clock of
#: the other topics. Such labels are counted and tolerated.
_BORDER_S = 3600.0
_SAME = 1e-9
_SHOWN = 5


class Verdict(msgspec.Struct):
    """The three counts, what was found in words, and figures for the report."""

    lost: int = 0
    doubled: int = 0
    mismatched: int = 0
    findings: list[str] = []
    figures: dict[str, int] = {}

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled or self.mismatched)

    def __str__(self) -> str:
        return f"{self.lost} lost, {self.doubled} doubled, {self.mismatched} mismatched"

    def note(self, text: str, examples: Sequence[object], *, lost: int = 0, doubled: int = 0, wrong: int = 0) -> None:
        """Add to the counts; the first of the cases are named."""
        if not (lost or doubled or wrong):
            return
        self.lost += lost
        self.doubled += doubled
        self.mismatched += wrong
        named = ", ".join(map(str, examples[:_SHOWN])) + (", ..." if len(examples) > _SHOWN else "")
        self.findings.append(f"{lost or doubled or wrong:,} {text}: {named}")


def check(expected: Expected, evidence: Evidence, label: LabelSettings) -> Verdict:
    """Compare everything; never stops at the first difference."""
    verdict = Verdict()
    _check_log(expected, evidence, verdict)
    _check_quarantine(expected, evidence, verdict)
    _check_table(expected, evidence, verdict)
    _check_scores(evidence, verdict)
    _check_examples(evidence, verdict)
    _check_labels(expected, evidence, label, verdict)
    _check_trainer(evidence, verdict)
    _check_compacted(evidence, verdict)
    return verdict


def _check_log(expected: Expected, evidence: Evidence, verdict: Verdict) -> None:
    found = Counter(evidence.log.values())
    missing = [key.hex() for key, count in expected.sent.items() if found[key] < count]
    unknown = [key.hex() for key in found.keys() - expected.sent.keys()]
    verdict.note("records sent and not in the log", missing, lost=len(missing))
    verdict.note("records in the log that nobody sent", unknown, wrong=len(unknown))
    broken = sum(found[key] for key in expected.broken)
    verdict.figures |= {
        "records in the log": len(evidence.log),
        "distinct valid events": expected.valid,
        "repeated records dropped": len(evidence.log) - expected.valid - broken,
        "rerouted records": evidence.rerouted,
    }


def _check_quarantine(expected: Expected, evidence: Evidence, verdict: Verdict) -> None:
    broken = {origin for origin, key in evidence.log.items() if key in expected.broken}
    missing, surplus = sorted(broken - evidence.quarantined.keys()), sorted(evidence.quarantined.keys() - broken)
    verdict.note("broken records missing in quarantine", missing, lost=len(missing))
    verdict.note("records in quarantine that are not broken", surplus, wrong=len(surplus))
    verdict.figures |= {
        "quarantined records, distinct": len(evidence.quarantined),
        "quarantined records, told again": sum(evidence.quarantined.values()) - len(evidence.quarantined),
    }


def _check_table(expected: Expected, evidence: Evidence, verdict: Verdict) -> None:
    states = evidence.states
    strangers = sorted(states.keys() - expected.features.keys())
    verdict.note("customers in the table that nobody has sent events of", strangers, wrong=len(strangers))
    less, more, unequal = [], [], []
    lost = doubled = 0
    for customer_id, count in expected.applied.items():
        applied = states[customer_id].applied if customer_id in states else 0
        if applied < count:
            lost += count - applied
            less.append(f"{customer_id} has {applied} of {count}")
        elif applied > count:
            doubled += applied - count
            more.append(f"{customer_id} has {applied} for {count}")
        if customer_id not in states and not count:
            lost += 1
            less.append(f"{customer_id} has no state")
    for customer_id, wanted in expected.features.items():
        if customer_id in states and (differing := _differing(wanted, states[customer_id].features)):
            unequal.append(f"{customer_id} in {'; '.join(differing[:2])}")
    verdict.note("events not in the table", less, lost=lost)
    verdict.note("events more than once in the table", more, doubled=doubled)
    verdict.note("customers with other features than offline", unequal, wrong=len(unequal))
    verdict.figures |= {"customers": len(states), "changelog records of evicted writers": evidence.zombies}


def _differing(wanted: Sequence[float], found: Sequence[float]) -> list[str]:
    return [
        f"{name} {b!r} (offline {a!r})"
        for name, a, b in zip(FEATURE_NAMES, wanted, found, strict=True)
        if not _same(a, b)
    ]


def _same(a: float, b: float) -> bool:
    return a == b or math.isclose(a, b, rel_tol=_SAME) or (math.isnan(a) and math.isnan(b))


def _check_scores(evidence: Evidence, verdict: Verdict) -> None:
    stale = []
    for customer_id, state in evidence.states.items():
        told, score = state.told, evidence.scores.get(customer_id)
        # A customer who has left is told with certainty, and remembered without a probability.
        wanted = None if not told.revision else Told(told.revision, _certain(told.probability), told.band)
        if score != wanted:
            stale.append(f"{customer_id} was told {score}, its state says {wanted}")
    strangers = sorted(evidence.scores.keys() - evidence.states.keys())
    verdict.note("customers whose last score is not their state's", stale, wrong=len(stale))
    verdict.note("customers with a score and without a state", strangers, wrong=len(strangers))
    verdict.figures |= {"customers with a score": len(evidence.scores)}


def _certain(probability: float) -> float:
    return 1.0 if math.isnan(probability) else probability


def _check_examples(evidence: Evidence, verdict: Verdict) -> None:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for example in evidence.examples:
        found[example.customer_id].add(example.example_id)
    less: list[tuple[int, str]] = []
    more: list[tuple[int, str]] = []
    for customer_id in sorted(found.keys() | evidence.states.keys()):
        state = evidence.states.get(customer_id)
        kept, waits = (state.snapshots, len(state.pending)) if state is not None else (0, 0)
        gap = kept - waits - len(found[customer_id])
        if gap:
            text = f"{customer_id}: {kept} predictions kept, {waits} wait, {len(found[customer_id])} are told"
            (less if gap > 0 else more).append((abs(gap), text))
    verdict.note("examples missing", [text for _, text in less], lost=sum(gap for gap, _ in less))
    verdict.note("examples of predictions that no state kept", [text for _, text in more],
                 doubled=sum(gap for gap, _ in more))  # fmt: skip
    distinct = sum(map(len, found.values()))
    verdict.figures |= {
        "examples, distinct": distinct,
        "examples told again": len(evidence.examples) - distinct,
        "predictions waiting": sum(len(state.pending) for state in evidence.states.values()),
    }


def _check_labels(expected: Expected, evidence: Evidence, label: LabelSettings, verdict: Verdict) -> None:
    horizon_s = label.horizon_days * _DAY_S
    wrong, border = [], 0
    for example in evidence.examples:
        leaves = expected.leaves.get(example.customer_id, [])
        truth = _truth(example, leaves, horizon_s)
        if example.label == truth:
            continue
        if truth and not _truth(example, leaves, horizon_s - _BORDER_S):
            border += 1
        else:
            wrong.append(f"{example.example_id} is {example.label}")
    verdict.note("examples with a wrong label", wrong, wrong=len(wrong))
    verdict.figures |= {
        "examples of customers who left": len({e.example_id for e in evidence.examples if e.label}),
        "labels decided at the border of their horizon": border,
    }


def _truth(example: SeenExample, leaves: Sequence[float], horizon_s: float) -> int:
    return int(any(example.as_of < time <= example.as_of + horizon_s for time in leaves))


def _check_trainer(evidence: Evidence, verdict: Verdict) -> None:
    distinct = len({example.example_id for example in evidence.examples})
    trained = evidence.trained
    known = trained.examples + trained.waiting
    cases = [f"{trained.examples} learned and {trained.waiting} waiting of {distinct}"]
    verdict.note("examples that the trainer does not know", cases, lost=max(0, distinct - known))
    verdict.note("examples that the trainer knows twice", cases, doubled=max(0, known - distinct))
    verdict.figures |= {"examples learned": trained.examples, "examples waiting in the trainer": trained.waiting}


def _check_compacted(evidence: Evidence, verdict: Verdict) -> None:
    whole, compacted = evidence.raw_states, evidence.compacted
    other = sorted(key for key in whole.keys() | compacted.keys() if whole.get(key) != compacted.get(key))
    verdict.note("customers whose state is another once the changelog is compacted", other, wrong=len(other))
