"""Conformance: every destination in the folder goes through every check here."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.records import Score
from models.settings import Settings, SyncSettings
from streams.destinations import configured, faults_of, registry
from streams.destinations.base import Destination, InvalidDestination, Unbuildable
from streams.destinations.contract.messages import Reply, Request, Verdict
from streams.destinations.contract.options import Secret
from tests.streams.sync.support import SECRET, SECRET_KEY, make_score

#: A customer whose id is an e-mail address, as some vendors need.
ADA = "ada@example.com"
KINDS = ("entered", "exited", "updated")
ADDRESS = "https://hooks.slack.com/services/T0/B0/t0k3n"
ENVIRON = {"A_KEY": SECRET, "AN_ADDRESS": ADDRESS}


def table_of(kind: str, **options: Any) -> dict[str, Any]:
    """The destination's own example, each secret taken from a variable."""
    declared = registry()[kind]
    secrets = {
        field.name: {"env": "AN_ADDRESS" if field.name == "webhook" else "A_KEY"}
        for field in msgspec.structs.fields(declared.options_type)
        if field.type is Secret and field.required
    }
    return dict(declared.example) | secrets | options


def made(kind: str, **options: Any) -> Destination[Any]:
    return configured(Settings(destinations={"mine": table_of(kind, **options)}), ENVIRON)["mine"]


@pytest.fixture(params=sorted(registry()))
def destination(request: pytest.FixtureRequest) -> Destination[Any]:
    return made(request.param)


def batch(destination: Destination[Any], *scores: Score, kind: Any = "entered") -> Request:
    return destination.build([destination.change(score, kind) for score in scores], 1_700_000_000.0)


def test_nothing_is_configured_by_default() -> None:
    """Default settings send nothing to anybody."""
    assert configured(Settings(), {}) == {}


@pytest.mark.parametrize("kind", sorted(registry()))
def test_every_example_is_named_for_its_type(kind: str) -> None:
    """The example of a destination configures it, and shows no secret."""
    example = registry()[kind].example

    assert example["type"] == kind
    assert made(kind).kind == kind
    assert registry()[kind].summary


@pytest.mark.parametrize("kind", sorted(registry()))
def test_every_mode_can_be_built(kind: str) -> None:
    """What a destination says it can do, it does for every kind of change that the mode has."""
    for mode in registry()[kind].modes:
        for news in KINDS[:2] if mode == "event" else KINDS:
            assert batch(made(kind, mode=mode), make_score(ADA), kind=news).body


@pytest.mark.parametrize("kind", sorted(registry()))
def test_settings_are_checked_before_secrets_are_at_hand(kind: str) -> None:
    """A process without the secrets can tell whether the settings are right."""
    assert list(faults_of(Settings(destinations={"mine": table_of(kind)}))) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": "red"}, r"destinations\.mine\.colour: no such option"),
        ({"mode": "sideways"}, r"destinations\.mine\.mode"),
        ({"fields": {"a": "probability **"}}, r"destinations\.mine\.fields\.a"),
        ({"fields": {"1": "band"}}, "a letter first"),
        ({"identifier": "email"}, r"destinations\.mine\.identifier"),
        ({"rates": ["many"]}, "allowed: requests/time"),
        ({"batch_rows": 0}, r"destinations\.mine\.batch_rows"),
        ({"type": "nonsense"}, "allowed: "),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    """Every fault names its option and what is allowed."""
    (fault,) = faults_of(Settings(destinations={"mine": table_of("segment", **options)}))

    assert re.search(message, fault)


def test_all_faults_are_told_at_once() -> None:
    """An operator learns of every fault in one go."""
    table = table_of("segment", mode=5, colour="red", fields={"a": "x", "b": "y"})

    assert len(list(faults_of(Settings(destinations={"mine": table, "Your Name": table})))) == 3


def test_secret_in_the_settings_is_refused_unseen() -> None:
    """A secret written into the settings is refused, and not repeated in the message."""
    table = {"type": "segment", "write_key": "hunter2"}
    (fault,) = faults_of(Settings(destinations={"mine": table}))

    assert "env" in fault
    assert "hunter2" not in fault


@pytest.mark.parametrize("place", [{"env": "NOT_THERE"}, {"file": "/nowhere/at/all"}, {"env": "EMPTY"}])
def test_missing_secret_is_named(place: dict[str, str]) -> None:
    """A variable or file that is not there is an error of its destination, with its name."""
    table = {"type": "segment", "write_key": place}

    with pytest.raises(InvalidDestination, match=next(iter(place.values()))):
        configured(Settings(destinations={"mine": table}), {"EMPTY": " "})


def test_secret_comes_from_a_file(tmp_path: Path) -> None:
    """A secret file is read, without the line's end."""
    (tmp_path / "key").write_text("s3cr3t\n")
    table = {"type": "segment", "write_key": {"file": str(tmp_path / "key")}}
    found = configured(Settings(destinations={"mine": table}), {})["mine"]

    assert found.options.write_key.text == "s3cr3t"


def test_name_taken_by_the_webhook_is_refused() -> None:
    """Two destinations cannot share a name, since ledger and consumer group go by it."""
    sync = SyncSettings(webhook_url="https://hooks.example.com", webhook_secret=SECRET)

    assert list(faults_of(Settings(sync=sync, destinations={"webhook": table_of("segment")}))) != []


def test_contract_stays_small() -> None:
    """A destination has one method that it must write, and few that it may."""
    methods = [name for name, _ in inspect.getmembers(Destination, inspect.isroutine) if not name.startswith("_")]

    assert sorted(methods) == [
        "build",
        "change",
        "faults",
        "fingerprint",
        "json_request",
        "mapped",
        "payload",
        "verdict",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_build_is_pure(destination: Destination[Any], kind: str) -> None:
    """The same change at the same time gives the same request, and the change stays as it was."""
    if destination.options.mode == "event" and kind == "updated":
        return
    change = destination.change(make_score(ADA), kind)  # type: ignore[arg-type] # the literal's values
    before = repr(change)
    first, second = destination.build((change,), 1_700_000_000.0), destination.build((change,), 1_700_000_000.0)

    assert (first.method, first.url, first.headers, first.body) == (
        second.method,
        second.url,
        second.headers,
        second.body,
    )
    assert repr(change) == before


def test_retry_keeps_id_and_body(destination: Destination[Any]) -> None:
    """A later attempt for the same score carries the same idempotency id and the same body."""
    change = destination.change(make_score(ADA), "entered")
    first, later = destination.build((change,), 1_700_000_000.0), destination.build((change,), 1_700_009_999.0)

    assert (first.idempotency_id, first.body) == (later.idempotency_id, later.body)


def test_another_score_gets_another_id(destination: Destination[Any]) -> None:
    """Two scores of one customer are two messages."""
    ids = {batch(destination, make_score(ADA, revision=revision)).idempotency_id for revision in range(5)}

    assert len(ids) == 5


@pytest.mark.parametrize(
    "customer_id",
    ["a@b.c", "c" * 512 + "@b.c", "ü-💧@b.c", 'quote"back\\slash@b.c', "a.b@b.c", "x" * 30_000 + "@b.c"],
)
def test_body_is_under_its_cap(destination: Destination[Any], customer_id: str) -> None:
    """Whatever the customer is called, the body is under the cap or the destination says that it cannot be built."""
    try:
        request = batch(destination, make_score(customer_id))
    except Unbuildable:
        assert len(customer_id) > 30
    else:
        assert 0 < len(request.body) <= destination.limits.bytes


def test_feature_vector_stays_home(destination: Destination[Any]) -> None:
    """Neither the payload nor the body holds the vector that was scored."""
    score = make_score(ADA)
    request = batch(destination, score)

    assert "secret_feature" in score.features
    assert b"secret_feature" not in request.body
    assert "secret_feature" not in repr(destination.payload(score))


def test_no_secret_in_any_repr(destination: Destination[Any]) -> None:
    """Neither secret, key bytes nor the path of the address show in the repr of a destination or its requests."""
    request = batch(destination, make_score(ADA))
    shown = f"{destination!r} {destination.options!r} {request!r} {destination.endpoint} {destination.identity}"

    assert SECRET not in shown
    assert "t0k3n" not in shown
    assert repr(SECRET_KEY)[2:-1] not in shown
    assert "churn" not in str(destination.endpoint)


def test_volatile_keys_are_no_news(destination: Destination[Any]) -> None:
    """A score that differs in nothing but its id, revision and times has the same fingerprint; a new band has not."""
    first, again, other = (
        destination.change(make_score(ADA, revision=revision, band=band))
        for revision, band in ((1, "high"), (2, "high"), (1, "critical"))
    )

    assert destination.fingerprint(first) == destination.fingerprint(again)
    assert destination.fingerprint(first) != destination.fingerprint(other)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\x00{",
        b"",
        b"[]",
        b"null",
        b'{"errors": 5}',
        b'{"errors": [null, 5, {"index": "x"}]}',
        b"[" * 5_000,
        b'""',
    ],
)
def test_verdict_is_total(destination: Destination[Any], body: bytes) -> None:
    """Every status with any body has a verdict, and only a 2xx can be a success."""
    changes = [destination.change(make_score(ADA), "entered")]
    for status in (*range(100, 104), *range(200, 600), 999):
        verdict = destination.verdict(Reply(status, {"retry-after": "x"}, body, 0.0), changes)

        assert isinstance(verdict, Verdict)
        assert verdict.kind != "ok" or 200 <= status < 300
        assert set(verdict.rows) <= {0}


def test_destinations_touch_no_network_clock_or_disk() -> None:
    """A destination imports nothing that could wait, read a clock or open a file."""
    forbidden = {"aiohttp", "aiokafka", "asyncio", "time", "os", "pathlib", "socket", "random", "sqlite3", "requests"}
    imported = set()
    for declared in registry().values():
        source = Path(str(sys.modules[declared.__module__].__file__)).read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).split(".")[0])

    assert imported & forbidden == set()


def test_request_repr_names_id_and_size() -> None:
    """A request in a log shows what it is about and nothing that authenticates."""
    request = Request("POST", "https://u:p@x.example/secret", {"authorization": "Bearer s3cr3t"}, b"1234", "msg_1")

    assert repr(request) == "Request(POST, 'msg_1', 4 bytes)"
