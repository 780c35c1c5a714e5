"""Mailchimp's members of an audience, `/3.0/lists/{id}/members/{hash}`[^1]: merge fields, or events in mode `event`.

A member's subscription is never touched: who is not in the audience is refused, or with `create` added by the
status `transactional`, which receives no campaigns. Mailchimp limits parallel requests, not requests in a time, and
under load answers a bare 403 that does not speak of the key.

References
----------
[^1]: https://mailchimp.com/developer/marketing/api/list-members/
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from streams.destinations.base import Change, Destination, Limits
from streams.destinations.contract.messages import Reply, Request, Verdict, standard_verdict
from streams.destinations.contract.options import HttpOptions, Secret

_TAG = re.compile(r"[A-Z][A-Z0-9_]{0,9}")
_NAMES = {"entered": "churn_risk_entered", "exited": "churn_risk_exited"}


class MailchimpOptions(HttpOptions, frozen=True, kw_only=True):
    """`url` is that of the key's data centre, `list_id` the audience; its merge fields must exist.

    The identifier must be an e-mail address. `create` adds who is not in the audience.
    """

    url: str
    api_key: Secret
    list_id: str
    create: bool = False


class Mailchimp(Destination[MailchimpOptions]):
    """One member per change."""

    kind = "mailchimp"
    summary = "Mailchimp audience: merge fields of members, or events"
    options_type = MailchimpOptions
    limits = Limits(rows=1, bytes=100_000, concurrency=10)
    fields: ClassVar[Mapping[str, str]] = {
        "CHURN": "likelihood_to_churn | text",
        "CHURNSCORE": "probability * 100 | round(0)",
        "CHURNBAND": "band",
        "CHURNWHY": "reasons | texts | join('; ') | cut(250)",
    }
    example: ClassVar[Mapping[str, Any]] = {
        "type": "mailchimp", "url": "https://us6.api.mailchimp.com", "list_id": "a1b2c3d4e5",
    }  # fmt: skip

    def faults(self, prefix: str) -> Iterator[str]:
        for name in self.options.fields:
            if not _TAG.fullmatch(name):
                yield f"{prefix}fields: {name!r}: allowed: merge tags, up to 10 of A-Z, 0-9 and _"

    @property
    def account(self) -> str:
        return f"{self.options.url} {self.options.list_id}"

    def build(self, changes: Sequence[Change], at: float) -> Request:
        (change,) = changes
        digest = hashlib.md5(change.id.lower().encode(), usedforsecurity=False).hexdigest()
        path = f"/3.0/lists/{self.options.list_id}/members/{digest}"
        key = base64.b64encode(f"ebbtide:{self.options.api_key.text}".encode()).decode()
        headers = {"authorization": f"Basic {key}"}
        if self.options.mode == "event":
            properties = {name.lower(): str(value) for name, value in change.payload.items()}
            event = {"name": _NAMES[change.kind], "properties": properties, "occurred_at": change.score.scored_at}
            return self.json_request(f"{path}/events", event, headers, changes)
        body: dict[str, Any] = {"merge_fields": change.payload}
        if self.options.create:
            body |= {"email_address": change.id, "status_if_new": "transactional"}
        return self.json_request(path, body, headers, changes, "PUT" if self.options.create else "PATCH")

    def verdict(self, reply: Reply, changes: Sequence[Change]) -> Verdict:
        bare = not isinstance(reply.json(), dict) or not reply.json()
        return (
            Verdict("throttle", 403, detail="too much at once")
            if reply.status == 403 and bare
            else standard_verdict(reply)
        )


DESTINATION = Mailchimp
