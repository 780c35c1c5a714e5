"""Commands to the trainer, kept versions and large models, without a broker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from models.churn.control import CONTROL_KEY, Control, encode_control
from models.churn.serving import ServingModel
from models.churn.versions import Versions
from models.events.quarantine import QuarantineRecord
from models.records import Example
from streams.history import History, decode_history
from streams.trainer import checkpoint as checkpoints
from streams.trainer.size import ModelTooLarge, fitted
from tests.streams.trainer.samples import LABEL, Subject, examples, leavers, settings_for, topic

KEY = "inactivity-30d"
DAY_S = 86_400.0
SETTINGS = settings_for()


def command(**fields: Any) -> bytes:
    return encode_control(Control(**fields))


def over_days(count: int, per_day: int = 100) -> list[Example]:
    """Examples of many days, so that a version of each day is kept."""
    made = []
    for i, one in enumerate(examples(count)):
        as_of = 1.7e9 + i * DAY_S / per_day
        made.append(msgspec.structs.replace(one, as_of=as_of, matured_at=as_of + 30 * DAY_S))
    return made


def log_of(*items: Example | bytes) -> list[Any]:
    """Records of the topic: examples, and commands as bytes."""
    made = []
    for offset, item in enumerate(items):
        is_command = isinstance(item, bytes)
        value = item if isinstance(item, bytes) else msgspec.json.encode(item)
        made.append(SimpleNamespace(offset=offset, partition=0, key=CONTROL_KEY if is_command else b"c", value=value))
    return made


def told(found: dict[bytes, bytes], key: str = KEY) -> History:
    return decode_history(found[f"{key}:history".encode()])


def served(found: dict[bytes, bytes], key: str = KEY) -> ServingModel:
    return ServingModel.from_record(found[key.encode()])


EXAMPLES = over_days(1500)
LOG = log_of(
    *EXAMPLES[:400],
    command(control="promote", name="logistic", id="p", key=KEY, note="asked for"),
    *EXAMPLES[400:700],
    command(control="rollback", id="r", key=KEY),
    *EXAMPLES[700:900],
    command(control="drift", id="d"),
    *EXAMPLES[900:1100],
    command(control="auto", id="a", key=KEY),
    *EXAMPLES[1100:],
)
MANUAL = msgspec.structs.replace(SETTINGS, trainer=msgspec.structs.replace(SETTINGS.trainer, promotion="manual"))


@pytest.mark.parametrize("cut", [1, 400, 401, 650, 702, 905, 1104, 1300])
def test_commands_and_versions_survive_a_restart_bit_for_bit(cut: int) -> None:
    """Stopped anywhere among commands, the topic ends with the very records of an undisturbed trainer."""
    undisturbed, first, second = Subject(MANUAL), Subject(MANUAL), Subject(MANUAL)
    undisturbed.take(LOG, now=0.0)
    first.take(LOG[:cut], now=0.0)
    left = first.publication()
    second.go_on(left)
    second.put_back(LOG[second.read_back_from : cut])
    second.all_put_back()
    second.take(LOG[cut // 2 :], now=0.0)

    assert topic(left, second.publication()) == topic(undisturbed.publication())


def test_a_rollback_serves_the_kept_version_and_learning_goes_on() -> None:
    """The bytes of the version before the promotion are served until `auto`; the history tells it all."""
    subject = Subject(MANUAL)
    subject.take(LOG[:401], now=0.0)
    promoted = topic(subject.publication())
    subject.take(LOG[401:1000], now=0.0)
    pinned = topic(promoted_records := subject.publication())
    subject.take(LOG[1000:], now=0.0)
    after = topic(subject.publication())
    history = told(pinned)
    headers = [dict(record.headers) for record in promoted_records if record.key == KEY.encode()]

    assert served(promoted).champion == "logistic"
    assert served(pinned).champion == "rule"
    assert history.versions.pinned == history.served == served(pinned).version
    assert pinned[KEY.encode()] == (promoted | pinned)[f"{KEY}:version:{history.served}".encode()]
    assert history.examples > served(pinned).record.examples
    assert headers == [{"moved": b"2"}]
    assert served(after).champion == "logistic"
    assert served(after).record.examples == told(after).examples
    moves = [(move.before, move.after.partition(" ")[0], move.why) for move in told(after).versions.moves]
    assert moves == [
        ("rule", "logistic", "asked for"),
        ("logistic", "pinned", "by command `rollback`"),
        (f"pinned {history.served}", "logistic", "by command `auto`"),
    ]
    assert [(one.id, one.done) for one in told(after).answers] == [("p", True), ("r", True), ("d", True), ("a", True)]


def test_a_pinned_version_is_sent_once() -> None:
    """While it serves, checkpoints and history go on, and the model's record is not written again."""
    subject = Subject(MANUAL)
    subject.take(LOG[:750], now=0.0)
    subject.publication()
    subject.take(LOG[750:800], now=0.0)

    assert [record.key for record in subject.publication()] == [f"{KEY}:checkpoint".encode(), f"{KEY}:history".encode()]


def test_what_a_pinned_version_records_is_no_evidence() -> None:
    """From the pin on its version is distrusted by the learner."""
    subject = Subject(MANUAL)
    subject.take(LOG[:750], now=0.0)
    pinned = told(topic(subject.publication())).served

    assert subject.learner.checkpoint()["contest"]["distrusted"] == [pinned]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"control": "promote", "name": "nobody"}, "allowed: logistic"),
        ({"control": "promote", "name": "rule"}, "champion already"),
        ({"control": "pin", "version": "v"}, "not kept"),
        ({"control": "auto"}, "no version is pinned"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(fields: dict[str, Any], text: str) -> None:
    """Nothing changes, and the answer says what is allowed."""
    subject = Subject(SETTINGS)
    subject.take(log_of(*EXAMPLES[:50], command(id="x", **fields)), now=0.0)
    [answer] = told(topic(subject.publication())).answers

    assert (answer.id, answer.done, answer.offset) == ("x", False, 50)
    assert text in answer.text
    assert subject.learner.champion == "rule"


def test_without_an_older_version_there_is_no_rollback() -> None:
    """Before the first example nothing is kept."""
    subject = Subject(SETTINGS)
    subject.take(log_of(command(control="rollback", id="x")), now=0.0)

    assert told(topic(subject.publication())).answers[0].text == "no older version is kept"


@pytest.mark.parametrize(
    "value",
    [b'{"control": "explode"}', b'{"control": "auto", "extra": 1}', b'{"control": 7}', b'{"control": "auto", "id": 1}'],
)
def test_unknown_commands_go_to_quarantine(value: bytes) -> None:
    """With their own reason, and nothing happens."""
    subject = Subject(SETTINGS)
    [refused] = subject.take(log_of(value), now=0.0)
    record = msgspec.json.decode(refused.value or b"", type=QuarantineRecord)

    assert (record.reason, record.raw_value()) == ("malformed_control", value)
    assert subject.unpublished == 0


def test_a_customer_may_be_called_control() -> None:
    """The key alone makes no command."""
    subject = Subject(SETTINGS)
    example = msgspec.structs.replace(EXAMPLES[0], customer_id="control")
    log = [SimpleNamespace(offset=0, partition=0, key=CONTROL_KEY, value=msgspec.json.encode(example))]

    assert subject.take(log, now=0.0) == []
    assert subject.learner.examples == 1


def test_a_command_for_another_label_changes_nothing() -> None:
    """Each trainer obeys the commands that name its own key, or none."""
    subject = Subject(SETTINGS)
    subject.take(log_of(command(control="promote", name="logistic", key="inactivity-7d")), now=0.0)

    assert (subject.learner.champion, subject.unpublished) == ("rule", 0)


def test_versions_are_kept_per_day_and_at_moves_and_no_more_than_allowed() -> None:
    """Days make room for days, moves stay; the topic holds the records of exactly those."""
    subject = Subject(MANUAL)
    published = []
    for start in range(0, len(LOG), 200):
        subject.take(LOG[start : start + 200], now=0.0)
        published.append(subject.publication())
    found = topic(*published)
    versions = told(found).versions
    prefix = f"{KEY}:version:".encode()

    assert len(versions.kept) == MANUAL.trainer.keep_versions == 10
    assert [one.why for one in versions.kept].count("move") == 2
    assert {key.removeprefix(prefix).decode() for key in found if key.startswith(prefix)} == {
        one.version for one in versions.kept
    }
    days = [int(one.at // DAY_S) for one in versions.kept if one.why == "day"]
    assert days == sorted(set(days))


def test_a_pinned_version_is_never_let_go() -> None:
    """However many days pass."""
    versions = Versions(pinned="v0")
    for day in range(50):
        record = SimpleNamespace(version=f"v{day}", champion="rule", offset=day, examples=day)
        versions.keep(record, day * DAY_S, "day" if day % 3 else "move", 5)  # type: ignore[arg-type]

    assert versions.find("v0") is not None
    assert len(versions.kept) == 5


def test_several_horizons_are_learned_beside_one_another() -> None:
    """One topic, a model, a checkpoint and a history for each; each survives a restart like one alone."""
    label = msgspec.structs.replace(LABEL, other_horizons_days=(7.0,))
    settings = msgspec.structs.replace(SETTINGS, label=label)
    short = [
        msgspec.structs.replace(one, example_id=f"{one.example_id}/7d", horizon_days=7.0) for one in EXAMPLES[:900:2]
    ]
    both = sorted([*EXAMPLES[:900], *short], key=lambda one: one.as_of + one.horizon_days * DAY_S)
    log = log_of(*both)
    undisturbed, first, second, alone = Subject(settings), Subject(settings), Subject(settings), Subject(SETTINGS)
    undisturbed.take(log, now=0.0)
    first.take(log[:500], now=0.0)
    left = first.publication()
    second.go_on(left)
    second.put_back(log[second.read_back_from : 500])
    second.all_put_back()
    second.take(log[500:], now=0.0)
    alone.take([one for one in log if b"/7d" not in one.value], now=0.0)
    found = topic(undisturbed.publication())

    assert topic(left, second.publication()) == found
    assert told(found, "inactivity-7d").examples + told(found, "inactivity-7d").waiting == len(short)
    assert served(found, "inactivity-7d").horizon_days == 7.0
    assert [core.skipped for core in undisturbed.cores] == [{}, {}]
    assert undisturbed.learner.checkpoint() == alone.learner.checkpoint()


def test_a_large_checkpoint_is_split_and_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pieces lie before their head, the old ones are deleted, and a missing piece makes it unusable."""
    monkeypatch.setattr(checkpoints, "PIECE_BYTES", 5_000)
    undisturbed, first, second, third = Subject(SETTINGS), Subject(SETTINGS), Subject(SETTINGS), Subject(SETTINGS)
    undisturbed.take(LOG, now=0.0)
    first.take(LOG[:600], now=0.0)
    left = first.publication()
    keys = [record.key.decode() for record in left if record.key is not None]
    pieces = [key for key in keys if key.startswith(f"{KEY}:checkpoint:")]
    second.go_on(left)
    second.take(LOG[600:], now=0.0)
    right = second.publication()
    third.go_on([record for record in left if record.key != pieces[1].encode()])

    assert len(pieces) > 2
    assert max(map(keys.index, pieces)) < keys.index(f"{KEY}:checkpoint")
    assert topic(left, right) == topic(undisturbed.publication())
    assert not set(pieces) & {key.decode() for key in topic(left, right)}
    assert third.offset == -1


def test_a_writer_killed_between_pieces_leaves_the_checkpoint_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pieces that it left are deleted by the next one."""
    monkeypatch.setattr(checkpoints, "PIECE_BYTES", 5_000)
    first, second, undisturbed = Subject(SETTINGS), Subject(SETTINGS), Subject(SETTINGS)
    undisturbed.take(LOG, now=0.0)
    first.take(LOG[:600], now=0.0)
    left = first.publication()
    first.take(LOG[600:700], now=0.0)
    torn = [record for record in first.publication() if (record.key or b"").startswith(f"{KEY}:checkpoint:".encode())][
        :2
    ]
    second.go_on(left, torn)

    assert (second.offset, second.unpublished) == (599, 1)
    second.take(LOG[600:], now=0.0)
    assert topic(left, torn, second.publication()) == topic(undisturbed.publication())


def test_too_large_a_model_lets_go_of_challengers_and_never_of_the_champion() -> None:
    """The largest challenger first; when the champion alone is too large it is an error, not a silence."""
    subject = Subject(SETTINGS)
    subject.take(LOG[:300], now=0.0)
    model = subject.first.model()
    smaller = fitted(model, len(model.to_record()) - 1)

    assert (smaller.champion, set(smaller.record.forms)) == ("rule", {"rule", "prior"})
    assert ServingModel.from_record(smaller.to_record()).score
    assert fitted(model) is model
    with pytest.raises(ModelTooLarge, match="allowed: 100"):
        fitted(model, 100)


def test_commands_wait_for_nobody() -> None:
    """A command is obeyed where it lies among the records, though examples before it still wait for their horizon."""
    young = leavers(1500)[:700]
    settings = settings_for(label=msgspec.structs.replace(LABEL, kind="cancellation"))
    subject = Subject(settings)
    subject.take(log_of(*young, command(control="promote", name="logistic", key="cancellation-30d")), now=0.0)

    assert len(subject.waiting) > 50
    assert subject.learner.champion == "logistic"


def test_records_of_the_topic_are_read_by_their_place() -> None:
    """What lies at or below the offset of a command that was obeyed is not obeyed again."""
    subject = Subject(SETTINGS)
    log = log_of(*EXAMPLES[:20], command(control="drift", key=KEY))
    subject.take(log, now=0.0)
    subject.take(log, now=0.0)

    assert subject.learner.checkpoint()["contest"]["begun"] == 1
    assert subject.skipped["already_learned"] == 21
