"""Conformance: every destination in the folder goes through every check here."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

import pytest

from models.settings import SyncSettings
from streams.destinations import registry
from streams.destinations.base import Change, Destination, Reply, Request, Unbuildable, Verdict, fingerprint
from tests.streams.sync.support import SECRET, SECRET_KEY, make_score

#: Settings that configure each destination, with a secret that must not leak.
CONFIGURED = {"webhook": SyncSettings(webhook_url="https://hooks.example.com/t0k3n-in-path", webhook_secret=SECRET)}
KINDS = ("entered", "exited", "updated")


@pytest.fixture(params=sorted(registry()))
def destination(request: pytest.FixtureRequest) -> Destination:
    declared = registry()[request.param].from_settings(CONFIGURED[request.param])

    assert declared is not None

    return declared


def test_every_destination_has_settings_here() -> None:
    """A new destination file joins the conformance suite by naming settings that configure it."""
    assert set(registry()) == set(CONFIGURED)


def test_nothing_is_configured_by_default() -> None:
    """Default settings send nothing to anybody."""
    assert [declared.from_settings(SyncSettings()) for declared in registry().values()] == [None] * len(registry())


def test_contract_stays_small() -> None:
    """A destination has at most four methods to write."""
    methods = [name for name, _ in inspect.getmembers(Destination, inspect.isroutine) if not name.startswith("_")]

    assert sorted(methods) == ["build", "from_settings", "payload", "verdict"]


@pytest.mark.parametrize("kind", KINDS)
def test_build_is_pure(destination: Destination, kind: str) -> None:
    """The same change at the same time gives the same request, and the change stays as it was."""
    change = Change(make_score("ada"), kind)  # type: ignore[arg-type] # parametrized with the literal's values
    before = repr(change)
    first, second = destination.build((change,), 1_700_000_000.0), destination.build((change,), 1_700_000_000.0)

    assert (first.method, first.url, first.headers, first.body) == (
        second.method,
        second.url,
        second.headers,
        second.body,
    )
    assert repr(change) == before


def test_retry_keeps_id_and_body(destination: Destination) -> None:
    """A later attempt for the same score carries the same idempotency id and the same body."""
    change = Change(make_score("ada"), "entered")
    first, later = destination.build((change,), 1_700_000_000.0), destination.build((change,), 1_700_009_999.0)

    assert (first.idempotency_id, first.body) == (later.idempotency_id, later.body)


def test_another_score_gets_another_id(destination: Destination) -> None:
    """Two scores of one customer are two messages."""
    ids = {
        destination.build((Change(make_score("ada", revision=revision), "updated"),), 0.0).idempotency_id
        for revision in range(5)
    }

    assert len(ids) == 5


@pytest.mark.parametrize("customer_id", ["a", "c" * 512, "ünï-💧", 'quote"back\\slash', "a.b.c", "x" * 30_000])
def test_body_is_under_its_cap(destination: Destination, customer_id: str) -> None:
    """Whatever the customer is called, the body is under the cap or the destination says that it cannot be built."""
    try:
        request = destination.build((Change(make_score(customer_id), "entered"),), 0.0)
    except Unbuildable:
        assert len(customer_id) > destination.max_body_bytes // 2
    else:
        assert 0 < len(request.body) <= destination.max_body_bytes


def test_feature_vector_stays_home(destination: Destination) -> None:
    """Neither the payload nor the body holds the vector that was scored."""
    score = make_score("ada")
    request = destination.build((Change(score, "entered"),), 0.0)

    assert "secret_feature" in score.features
    assert b"secret_feature" not in request.body
    assert "secret_feature" not in repr(destination.payload(score))


def test_no_secret_in_any_repr(destination: Destination) -> None:
    """Neither secret, key bytes nor the path of the address show in the repr of a destination or its requests."""
    request = destination.build((Change(make_score("ada"), "entered"),), 0.0)
    shown = f"{destination!r} {request!r} {destination.endpoint} {destination.identity}"

    assert SECRET not in shown
    assert repr(SECRET_KEY)[2:-1] not in shown
    assert "t0k3n-in-path" not in shown


def test_volatile_keys_are_no_news(destination: Destination) -> None:
    """A score that differs in nothing but its id, revision and times has the same fingerprint; a new band has not."""
    score = make_score("ada", revision=1)

    assert fingerprint(destination, score) == fingerprint(destination, make_score("ada", revision=2))
    assert fingerprint(destination, score) != fingerprint(destination, make_score("ada", band="critical"))


@pytest.mark.parametrize("status", [*range(100, 104), *range(200, 600), 999])
def test_verdict_is_total(destination: Destination, status: int) -> None:
    """Every status with any body has a verdict, and only a 2xx can be a success."""
    verdict = destination.verdict(Reply(status, {"retry-after": "x"}, b"\xff\x00{", 0.0))

    assert isinstance(verdict, Verdict)
    assert verdict.kind != "ok" or 200 <= status < 300


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
