"""JSON Schemas from the structs that the code itself decodes and encodes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from models.events import wire
from models.events.catalog import CALLS, CATALOG
from models.events.quarantine import QuarantineRecord
from models.events.reasons import REASONS
from models.records import LabelRecord, Score
from models.schemas.descriptions import EVENT, LABEL, QUARANTINE, SCORE

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_DECIMAL: Final = r"^\s*([+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?)?\s*$"
_GIVEN: Final = {"type": ["string", "integer"], "pattern": r"\S"}

#: Kind of properties in the catalog -> the struct that reads them.
_FACTS: Final[dict[str, type[msgspec.Struct]]] = {
    "product": wire.ProductProperties,
    "order": wire.OrderProperties,
    "refund": wire.OrderProperties,
    "subscription": wire.SubscriptionProperties,
    "payment": wire.SubscriptionProperties,
    "conversation": wire.ConversationProperties,
}


def document(name: str) -> bytes:
    """The file of one schema, as it is stored."""
    schema = {"event": _event, "score": _score, "label": _label, "quarantine": _quarantine}[name]()
    return json.dumps(schema, indent=2, ensure_ascii=False).encode() + b"\n"


def _score() -> dict[str, Any]:
    return _record(Score, "Ebbtide score", SCORE)


def _label() -> dict[str, Any]:
    return _record(LabelRecord, "Ebbtide label", LABEL)


def _quarantine() -> dict[str, Any]:
    schema = _record(QuarantineRecord, "Ebbtide quarantined event", QUARANTINE)
    schema["properties"]["reason"]["enum"] = list(REASONS)
    return schema


def _record(struct: type[msgspec.Struct], title: str, descriptions: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The schema of one struct at the top, those it refers to under `$defs`."""
    _, definitions = msgspec.json.schema_components((struct,))
    for name, definition in definitions.items():
        _describe(definition, descriptions[name])
    top: dict[str, Any] = definitions.pop(struct.__name__)
    return {"$schema": _DIALECT} | top | {"title": title} | ({"$defs": definitions} if definitions else {})


def _describe(definition: dict[str, Any], descriptions: Mapping[str, str]) -> None:
    """Give every property its description, and times their format. Both sides must name the same properties."""
    if set(definition["properties"]) != set(descriptions):
        missing = set(definition["properties"]) ^ set(descriptions)
        raise ValueError(f"{definition['title']}: properties and descriptions differ in {sorted(missing)}")
    # Docstrings are for readers of the code; their first paragraph is for readers of the schema too.
    definition["description"] = " ".join(definition.get("description", "").partition("\n\n")[0].split())
    for name, schema in definition["properties"].items():
        schema["description"] = descriptions[name]
        if "ISO-8601 UTC" in descriptions[name]:
            schema["format"] = "date-time"


def _event() -> dict[str, Any]:
    """The common fields, and for each kind of event what its properties may hold."""
    fields = [(f.name, f.type, f.default) for f in msgspec.structs.fields(wire.Envelope) if f.name != "properties"]
    envelope = msgspec.defstruct("Envelope", fields, rename="camel")
    structs = (envelope, *dict.fromkeys(_FACTS.values()))
    _, definitions = msgspec.json.schema_components(structs)
    for name, definition in definitions.items():
        _describe(definition, EVENT[name])
        _allow_quoted_numbers(definition)
    definitions["ConversationProperties"] |= {"required": ["conversation_id", "channel"]}
    definitions["ConversationProperties"]["properties"]["conversation_id"] |= _GIVEN
    definitions["ConversationProperties"]["properties"]["channel"]["enum"] = ["chat", "call", "email"]
    properties = definitions.pop("Envelope")["properties"]
    properties["type"] = {"enum": ["track", *CALLS], "description": properties["type"]["description"]}
    properties["properties"] = {"type": ["object", "null"], "description": "What happened; read by the event's name."}
    return {
        "$schema": _DIALECT,
        "title": "Ebbtide event",
        "description": "An event of the Segment and RudderStack specifications; fields not named here are ignored.",
        "type": "object",
        "properties": properties,
        "required": ["type"],
        "allOf": [_any_id(), _any_time(), _track_has_event(), *_facts_by_name()],
        "$defs": definitions,
    }


def _allow_quoted_numbers(definition: dict[str, Any]) -> None:
    for schema in definition["properties"].values():
        if "maximum" in schema:
            schema["pattern"] = _DECIMAL


def _any_id() -> dict[str, Any]:
    return {"anyOf": [{"required": [name], "properties": {name: _GIVEN}} for name in ("userId", "anonymousId")]}


def _any_time() -> dict[str, Any]:
    names = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")
    given = {"type": ["string", "number"]}
    return {"anyOf": [{"required": [name], "properties": {name: given}} for name in names]}


def _track_has_event() -> dict[str, Any]:
    return {
        "if": {"properties": {"type": {"const": "track"}}},
        "then": {
            "required": ["event"],
            "properties": {"event": {"type": "string", "pattern": r"\S", "maxLength": 200}},
        },
    }


def _facts_by_name() -> list[dict[str, Any]]:
    rules = []
    for struct in dict.fromkeys(_FACTS.values()):
        names = sorted(name for name, spec in CATALOG.items() if _FACTS.get(spec.facts) is struct)
        reference = {"$ref": f"#/$defs/{struct.__name__}"}
        # A conversation is nothing without its properties; all other facts may be missing.
        required = struct is wire.ConversationProperties
        allowed = reference if required else {"anyOf": [reference, {"type": "null"}]}
        named = {"properties": {"type": {"const": "track"}, "event": {"enum": names}}, "required": ["type", "event"]}
        then = {"properties": {"properties": allowed}} | ({"required": ["properties"]} if required else {})
        rules.append({"if": named, "then": then})
    return rules
