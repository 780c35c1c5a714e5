from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from models.events.quarantine import quarantine_record
from models.events.types import Rejection
from models.records import ModelRef, Reason, Score
from models.schemas import NAMES, load
from models.schemas.generate import document
from tests.corpus.hostile import DUPLICATE, HOSTILE, PROCESSED, HostileEvent

#: Faults that a schema can see; the others lie in the bytes, the topic or the clock.
_VISIBLE = {"wrong_type", "missing_id", "missing_time", "unknown_type", "missing_event", "bad_conversation"}


def is_valid(name: str, value: Any) -> bool:
    return bool(Draft202012Validator(load(name)).is_valid(value))


def properties_of(schema: dict[str, Any]) -> list[dict[str, Any]]:
    objects = [schema, *schema.get("$defs", {}).values()]
    return [field for item in objects for field in item["properties"].values()]


@pytest.mark.parametrize("name", NAMES)
def test_stored_schema_is_the_generated_one(name: str) -> None:
    """The package data is what the structs say now; if not, run `python -m tests.models.schemas.update`."""
    stored = files("models.schemas").joinpath(f"{name}.schema.json").read_bytes()

    assert stored == document(name)
    Draft202012Validator.check_schema(load(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_described(name: str) -> None:
    """No field of a public record is left to guessing."""
    assert all(field.get("description") for field in properties_of(load(name)))


def test_times_and_ids_are_marked() -> None:
    """Times that we write have the date-time format, ids and the probability their limits."""
    score = load("score")["properties"]

    for name in ("as_of", "event_watermark", "scored_at"):
        assert score[name]["format"] == "date-time"
    assert load("quarantine")["properties"]["quarantined_at"]["format"] == "date-time"
    assert (score["probability"]["minimum"], score["probability"]["maximum"]) == (0, 1)
    assert load("event")["properties"]["userId"]["maxLength"] == 200


def test_unknown_schema_names_the_known_ones() -> None:
    """Asking for a schema that does not exist says which do."""
    with pytest.raises(ValueError, match=r"no schema 'invoice' \(there are: event, score, label, quarantine\)"):
        load("invoice")


@pytest.mark.parametrize(
    "hostile",
    [hostile for hostile in HOSTILE if hostile.expected in (PROCESSED, DUPLICATE)],
    ids=lambda hostile: hostile.name,
)
def test_schema_accepts_what_the_decoder_accepts(hostile: HostileEvent) -> None:
    """Every event of the corpus that is processed is valid by the published schema."""
    assert is_valid("event", json.loads((hostile.raw or b"").decode("utf-8-sig")))


@pytest.mark.parametrize(
    "hostile", [hostile for hostile in HOSTILE if hostile.expected in _VISIBLE], ids=lambda hostile: hostile.name
)
def test_schema_refuses_what_the_decoder_refuses(hostile: HostileEvent) -> None:
    """A producer that validates against the schema finds the faults of type and presence before sending."""
    assert not is_valid("event", json.loads(hostile.raw or b""))


def test_records_of_ours_are_valid() -> None:
    """A score and a quarantine record, as they go on the wire, are valid by their schemas; a spoilt one is not."""
    score = Score(
        score_id="s",
        customer_id="u",
        probability=0.25,
        band="medium",
        likelihood_to_churn=False,
        eligible=True,
        percentile=80.0,
        horizon_days=30.0,
        label_kind="inactivity",
        reasons=(Reason(1, "tenure_days", None, 0.5),),
        model=ModelRef("rule", "v1"),
        feature_version="f1",
        source_offsets={"clickstream/0": 7},
        as_of="2025-01-05T10:00:00.000Z",
        event_watermark="2025-01-05T10:00:00.000Z",
        scored_at="2025-01-05T10:00:00.000Z",
        revision=1,
        features={"tenure_days": None, "clicks_7d": 3.0},
    )
    wire_score = json.loads(msgspec.json.encode(score))
    record = quarantine_record(
        Rejection("empty", "0 bytes"), topic="t", partition=0, offset=1, key=None, raw=b"", at=1.0
    )

    assert is_valid("score", wire_score)
    assert is_valid("quarantine", json.loads(record.to_json()))
    assert not is_valid("score", wire_score | {"probability": 1.5})
    assert not is_valid("quarantine", json.loads(record.to_json()) | {"reason": "bad mood"})
