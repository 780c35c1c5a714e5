"""HubSpot's contacts, `/crm/v3/objects/contacts/batch/upsert`[^1]: properties by a unique property.

The properties must exist in the account, under the names of `fields`. A 207 tells which rows were not written, by
the trace id that each row carries.

References
----------
[^1]: https://developers.hubspot.com/docs/api-reference/legacy/crm/objects/contacts/batch/upsert-contacts
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from models.records import Score
from streams.destinations.base import Change, Destination, Limits
from streams.destinations.contract.messages import Reply, Request, Verdict, standard_verdict
from streams.destinations.contract.options import HttpOptions, Secret
from streams.sync.rates import Window


class HubSpotOptions(HttpOptions, frozen=True, kw_only=True):
    """`token` is that of a private app with `crm.objects.contacts.write`, `id_property` a unique property.

    The default rate is that of the smallest plan; on others set `rates`, such as `["190/10s", "625000/d"]`.
    """

    url: str = "https://api.hubapi.com"
    token: Secret
    id_property: str = "email"


class HubSpot(Destination[HubSpotOptions]):
    """One contact per change; in mode `mirror` the properties of who leaves are cleared."""

    kind = "hubspot"
    summary = "HubSpot contacts: properties by batch upsert"
    options_type = HubSpotOptions
    modes = ("upsert", "mirror", "full")
    limits = Limits(rows=100, bytes=3_000_000, windows=(Window(100, 10.0), Window(250_000, 86_400.0)))
    example: ClassVar[Mapping[str, Any]] = {"type": "hubspot"}

    def payload(self, score: Score) -> dict[str, Any]:
        """HubSpot takes texts; an empty one clears a property."""
        return {name: _text(value) for name, value in self.mapped(score).items()}

    def build(self, changes: Sequence[Change], at: float) -> Request:
        rows = [
            {
                "id": change.id,
                "idProperty": self.options.id_property,
                "objectWriteTraceId": change.key,
                "properties": dict.fromkeys(change.payload, "") if self._gone(change) else change.payload,
            }
            for change in changes
        ]
        headers = {"authorization": f"Bearer {self.options.token.text}"}
        return self.json_request("/crm/v3/objects/contacts/batch/upsert", {"inputs": rows}, headers, changes)

    def _gone(self, change: Change) -> bool:
        return self.options.mode == "mirror" and change.kind == "exited"

    def verdict(self, reply: Reply, changes: Sequence[Change]) -> Verdict:
        whole, answer = standard_verdict(reply), reply.json()
        errors = answer.get("errors") if isinstance(answer, dict) and whole.kind == "ok" else None
        if not errors or not isinstance(errors, list):
            return whole
        place = {name: index for index, change in enumerate(changes) for name in (change.key, change.id)}
        rows: dict[int, str] = {}
        for error in errors:
            named = [place[name] for name in _named(error) if name in place]
            if not named:
                # It does not say which row it means: half as many rows at a time will.
                return Verdict("refused", reply.status, detail=_message(error))
            rows |= dict.fromkeys(named, _message(error))
        return whole.refusing(rows)


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _named(error: Any) -> list[str]:
    """Trace ids or ids that an error's context names."""
    context = error.get("context") if isinstance(error, dict) else None
    values = context.values() if isinstance(context, dict) else ()
    return [name for value in values if isinstance(value, list) for name in value if isinstance(name, str)]


def _message(error: Any) -> str:
    return str(error.get("message") if isinstance(error, dict) else error)[:200]


DESTINATION = HubSpot
