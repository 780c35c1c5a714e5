"""A digest to a Slack channel by incoming webhook[^1]: who became likely to leave, who no longer is.

References
----------
[^1]: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from streams.destinations.base import Change, ChangeKind, Destination, Limits
from streams.destinations.contract.messages import Reply, Request, Verdict, standard_verdict
from streams.destinations.contract.options import Mode, Options, Secret, origin_of, url_faults
from streams.sync.rates import Window

_HEADINGS: Mapping[ChangeKind, str] = {
    "entered": "likely to leave", "updated": "still likely to leave, changed", "exited": "no longer likely to leave",
}  # fmt: skip


class SlackOptions(Options, frozen=True, kw_only=True):
    """`webhook` is the address of an incoming webhook, which is a secret. A digest waits `linger_s` for more news."""

    webhook: Secret
    mode: Mode = "event"
    linger_s: float = 60.0


class Slack(Destination[SlackOptions]):
    """Up to 40 customers in one message."""

    kind = "slack"
    summary = "Slack: a digest of who enters and leaves, by incoming webhook"
    options_type = SlackOptions
    takes_anonymous = True
    limits = Limits(rows=40, bytes=30_000, windows=(Window(1, 1.0),), concurrency=1)
    fields: ClassVar[Mapping[str, str]] = {
        "band": "band",
        "score": "probability * 100 | round(0)",
        "why": "reasons | texts | first",
    }
    example: ClassVar[Mapping[str, Any]] = {"type": "slack"}

    def faults(self, prefix: str) -> Iterator[str]:
        if address := self.options.webhook.text:
            yield from url_faults(
                address, f"{prefix}webhook", f"{prefix}allow_private", self.options.allow_private
            )  # fmt: skip

    @property
    def endpoint(self) -> str:
        return origin_of(self.options.webhook.text)

    @property
    def account(self) -> str:
        return self.options.webhook.text

    def build(self, changes: Sequence[Change], at: float) -> Request:
        text = "\n".join(self._lines(changes))
        return self.json_request(self.options.webhook.text, {"text": text}, {}, changes)

    def _lines(self, changes: Sequence[Change]) -> Iterator[str]:
        for kind, heading in _HEADINGS.items():
            told = [change for change in changes if change.kind == kind]
            if told:
                yield f"*{len(told)} {'customer' if len(told) == 1 else 'customers'} {heading}*"
                yield from (f"• {_plain(change.id[:100])}: {_said(change.payload)}" for change in told)

    def verdict(self, reply: Reply, changes: Sequence[Change]) -> Verdict:
        """A channel or webhook that is not there is nobody's row: a human must look."""
        verdict = standard_verdict(reply)
        return Verdict("auth", 404, detail=verdict.detail) if reply.status == 404 else verdict


def _said(payload: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_plain(str(value))}" for name, value in payload.items() if value is not None)


def _plain(text: str) -> str:
    """What customers are called must not become a mention or a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


DESTINATION = Slack
