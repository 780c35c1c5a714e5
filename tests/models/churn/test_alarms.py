"""Drift alarms of the learner, and the challenger that they start."""

from __future__ import annotations

import msgspec

from models.churn.learner import Learner
from models.records import Example
from models.settings import TrainerSettings
from tests.models.churn.samples import FEATURES, LABEL, VERSION, examples

DAY_S = 86_400.0


def dated(items: list[Example], first_day: float = 0.0, per_day: int = 200) -> list[Example]:
    return [
        msgspec.structs.replace(item, as_of=(first_day + i / per_day) * DAY_S, matured_at=0.0)
        for i, item in enumerate(items)
    ]


def taught(items: list[Example], **trainer: int) -> Learner:
    subject = Learner(FEATURES, VERSION, LABEL, TrainerSettings(**trainer))
    for item in items:
        subject.learn(item)
    return subject


def test_a_steady_world_raises_no_alarm() -> None:
    """Within the budget of one false alarm in two months: none in one."""
    assert taught(dated(examples(6000))).alarms.raised == 0


def test_an_incident_starts_a_challenger_that_knows_only_what_comes() -> None:
    """When twice as many leave, the rate of leavers is what changed, and a fresh challenger learns from there on."""
    items = dated(examples(8000))
    more = [one if one.label or i % 3 else msgspec.structs.replace(one, label=1) for i, one in enumerate(items)]
    subject = taught(items[:4000] + more[4000:])
    alarm = subject.alarms.last[0]
    [fresh] = [one for one in subject.standings() if one.name == alarm.challenger]

    assert alarm.of in ("label", "loss")
    assert 4000 < alarm.examples < 4500
    assert alarm.after > alarm.before
    assert fresh.begun > 4000
    assert fresh.name in subject.serving(0).record.forms


def test_without_leave_to_begin_anew_an_alarm_is_only_told() -> None:
    """`trainer.max_fresh` 0: the alarm is remembered, and nobody begins."""
    items = dated(examples(7000))
    turned = [msgspec.structs.replace(one, label=1) if i % 2 else one for i, one in enumerate(items)]
    subject = taught(items[:4000] + turned[4000:], max_fresh=0)

    assert subject.alarms.raised > 0
    assert {alarm.challenger for alarm in subject.alarms.last} == {""}
    assert {one.name for one in subject.standings()} == {"rule", *TrainerSettings().candidates}
