"""The signed webhook, by Standard Webhooks 1.0.0[^1]: one JSON message per change, POSTed to your endpoint.

A receiver checks the signature with `verify` (or any Standard Webhooks library) and drops ids that it has seen.

References
----------
[^1]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec
import orjson

from models.records import Score
from streams.destinations.base import Change, ChangeKind, Destination, InvalidDestination, Limits, Unbuildable
from streams.destinations.contract.messages import Request
from streams.destinations.contract.options import HttpOptions, Secret

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that marks a secret, not one
_SECRET_BYTES = range(24, 65)
_BODY_LIMIT_BYTES = 20_000
#: Which score a message speaks of. It changes with every score and makes none news.
_VERSION = ("score_id", "revision", "as_of", "scored_at")
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")

EVENT_TYPES: dict[ChangeKind, str] = {
    "entered": "churn.customer.at_risk",
    "exited": "churn.customer.recovered",
    "updated": "churn.score.updated",
}
#: A customer who has left is no longer at risk, but has not recovered.
LEFT_TYPE = "churn.customer.left"


class InvalidSignature(ValueError):  # noqa: N818 - reads as the fact that it states
    """A webhook that must not be believed; the message says which check failed."""


class WebhookOptions(HttpOptions, frozen=True, kw_only=True):
    """`secret` is one key, or several separated by spaces or commas, the newest first, while it is being changed."""

    secret: Secret


class Webhook(Destination[WebhookOptions]):
    """One endpoint, and the secrets that messages are signed with: all of them, so that either one verifies."""

    kind = "webhook"
    summary = "a signed JSON message per change to your own endpoint (Standard Webhooks)"
    options_type = WebhookOptions
    takes_anonymous = True
    limits = Limits(rows=1, bytes=_BODY_LIMIT_BYTES)
    fields: ClassVar[Mapping[str, str]] = {}
    volatile = frozenset(_VERSION)
    example: ClassVar[Mapping[str, Any]] = {"type": "webhook", "url": "https://hooks.example.com/churn"}

    def __init__(self, name: str, options: WebhookOptions, prefix: str = "") -> None:
        # A secret that was not looked up yet is empty; the settings are then checked for their form alone.
        unresolved = not options.secret.reveal() and prefix.startswith("destinations.")
        self.secrets = () if unresolved else parse_secrets(options.secret.reveal().decode(), f"{prefix}secret")
        super().__init__(name, options, prefix)

    def payload(self, score: Score) -> dict[str, Any]:
        """The `data` of the message. The feature vector stays here; only the top reasons travel."""
        told = self.mapped(score) if self.options.fields else _standard(score)
        return {"customer_id": score.customer_id} | told | {name: getattr(score, name) for name in _VERSION}

    def build(self, changes: Sequence[Change], at: float) -> Request:
        """One message for exactly one change. Raises Unbuildable if its body would reach 20,000 bytes."""
        (change,) = changes
        message_id = _message_id(change.score.score_id)
        body = orjson.dumps({"type": _event_type(change), "timestamp": change.score.scored_at, "data": change.payload})
        if len(body) >= _BODY_LIMIT_BYTES:
            raise Unbuildable(f"message of {len(body)} bytes, allowed: fewer than {_BODY_LIMIT_BYTES}")
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at)),
            "webhook-signature": sign(self.secrets, message_id, int(at), body),
        }
        return Request("POST", self.options.url, headers, body, message_id)


def _standard(score: Score) -> dict[str, Any]:
    return {
        "probability": round(score.probability, 6),
        "band": score.band,
        "likelihood_to_churn": score.likelihood_to_churn,
        "percentile": score.percentile,
        "horizon_days": score.horizon_days,
        "reasons": [msgspec.to_builtins(reason) for reason in score.reasons],
        "model": {"name": score.model.name, "version": score.model.version},
    }


def parse_secrets(text: str, name: str = "sync.webhook_secret") -> tuple[Secret, ...]:
    """One secret, or several separated by spaces or commas (the newest first).

    Raises
    ------
    InvalidDestination
        None given, or one that is not `whsec_` and base64 of 24 to 64 bytes. The message does not show it.
    """
    parts = text.replace(",", " ").split()
    allowed = f"{SECRET_PREFIX}<base64 of {_SECRET_BYTES.start} to {_SECRET_BYTES.stop - 1} random bytes>"
    if not parts:
        raise InvalidDestination(f"{name} is empty, allowed: {allowed}, or two of them to rotate")
    secrets = []
    for number, part in enumerate(parts, 1):
        key = _decode_secret(part)
        if key is None or len(key) not in _SECRET_BYTES:
            found = "no such form" if key is None else f"{len(key)} bytes"
            raise InvalidDestination(f"{name}: secret {number} has {found}, allowed: {allowed}")
        secrets.append(Secret(key))
    return tuple(secrets)


def sign(secrets: Sequence[Secret], message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` header: one `v1` signature per secret, separated by spaces."""
    content = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(secret.reveal(), content, "sha256") for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float, tolerance_s: float = 300.0) -> str:
    """Check a received webhook and return its id, by which the receiver drops repetitions.

    Parameters
    ----------
    secret
        As in the settings; with two secrets, a signature by either is good.
    headers
        Any letter case.
    now
        Wall clock in epoch seconds.
    tolerance_s
        Largest accepted distance in seconds between `now` and the attempt, either way.

    Raises
    ------
    InvalidSignature
        A header is missing, the attempt too old or too new, or no signature fits.
    InvalidDestination
        `secret` itself is malformed.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in ("webhook-id", "webhook-timestamp", "webhook-signature") if not lower.get(name)]
    if missing:
        raise InvalidSignature(f"missing header: {', '.join(missing)}")
    message_id, stamp = lower["webhook-id"], lower["webhook-timestamp"]
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise InvalidSignature("webhook-timestamp is not a number of epoch seconds")
    if abs(now - int(stamp)) > tolerance_s:
        raise InvalidSignature(f"webhook-timestamp is {now - int(stamp):.0f} s away, allowed: {tolerance_s:.0f} s")
    expected = sign(parse_secrets(secret), message_id, int(stamp), body).split()
    given = [part.encode() for part in lower["webhook-signature"].split()]
    # Every pair is compared, so that the time taken tells nothing.
    matches = [hmac.compare_digest(mine.encode(), theirs) for mine in expected for theirs in given]
    if not any(matches):
        raise InvalidSignature("no signature fits the body")
    return message_id


def _decode_secret(text: str) -> bytes | None:
    if not text.startswith(SECRET_PREFIX):
        return None
    try:
        return base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None


def _message_id(score_id: str) -> str:
    """The score's id as a webhook id, which must not contain a dot. Unusual ids are replaced by their digest."""
    plain = score_id if _PLAIN_ID.fullmatch(score_id) else hashlib.sha256(score_id.encode()).hexdigest()[:40]
    return f"msg_{plain}"


def _event_type(change: Change) -> str:
    if change.kind == "exited" and change.score.band == "left":
        return LEFT_TYPE
    return EVENT_TYPES[change.kind]


DESTINATION = Webhook
