from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.settings import SyncSettings
from streams.destinations.base import ChangeKind, InvalidDestination, Unbuildable
from streams.destinations.contract.messages import Reply, standard_verdict
from streams.destinations.webhook import InvalidSignature, Webhook, parse_secrets, sign, verify
from tests.streams.sync.support import OTHER_SECRET, SECRET, SECRET_KEY, change_of, make_score, webhook_of

NOW = 1_767_225_600.0


def webhook(**changes: object) -> Webhook:
    fields = {"webhook_url": "https://hooks.example.com/churn", "webhook_secret": SECRET} | changes
    return webhook_of(SyncSettings(**fields))  # type: ignore[arg-type] # test shorthand


def signed(kind: ChangeKind = "entered", at: float = NOW, **changes: object) -> tuple[dict[str, str], bytes]:
    request = webhook(**changes).build((change_of(make_score("ada"), kind),), at)
    return dict(request.headers), request.body


def test_signature_equals_the_published_example() -> None:
    """The example that Standard Webhooks libraries test with gives the published signature."""
    secrets = parse_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_signature_equals_a_plain_hmac() -> None:
    """The header is v1 and the base64 HMAC-SHA256 of id, timestamp and raw body, joined by dots."""
    headers, body = signed()
    content = f"{headers['webhook-id']}.{int(NOW)}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET_KEY, content, hashlib.sha256).digest()).decode()

    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-timestamp"] == str(int(NOW))


def test_what_we_sign_verifies() -> None:
    """A message passes its own check, whatever the letter case of the headers, and gives its id."""
    headers, body = signed()
    upper = {name.upper(): value for name, value in headers.items()}

    assert verify(SECRET, upper, body, NOW + 299) == headers["webhook-id"]


@pytest.mark.parametrize("separator", [" ", ",", ", ", "\n"])
def test_rotation_signs_with_both_secrets(separator: str) -> None:
    """While a secret is rotated, receivers with the old and with the new one both believe the message."""
    headers, body = signed(webhook_secret=f"{OTHER_SECRET}{separator}{SECRET}")

    assert len(headers["webhook-signature"].split(" ")) == 2
    assert verify(SECRET, headers, body, NOW) == verify(OTHER_SECRET, headers, body, NOW)


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=100)
def test_no_flipped_bit_passes(position: int, bit: int) -> None:
    """A body with any single bit changed is not believed."""
    headers, body = signed()
    broken = bytearray(body)
    broken[position % len(body)] ^= 1 << bit

    with pytest.raises(InvalidSignature, match="no signature fits"):
        verify(SECRET, headers, bytes(broken), NOW)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"webhook-id": "msg_other"}, "no signature fits"),
        ({"webhook-timestamp": str(int(NOW) + 1)}, "no signature fits"),
        ({"webhook-signature": "v1,AAAA v1a,BBBB"}, "no signature fits"),
        ({"webhook-signature": "ü 💧"}, "no signature fits"),
        ({"webhook-timestamp": "soon"}, "not a number"),
        ({"webhook-timestamp": "9" * 400}, "not a number"),
        ({"webhook-timestamp": ""}, "missing header: webhook-timestamp"),
        ({"webhook-signature": "", "webhook-id": ""}, "missing header: webhook-id, webhook-signature"),
    ],
)
def test_tampered_headers_are_rejected(changes: dict[str, str], message: str) -> None:
    """Each header is covered by a check that names itself."""
    headers, body = signed()

    with pytest.raises(InvalidSignature, match=message):
        verify(SECRET, headers | changes, body, NOW)


@pytest.mark.parametrize("distance_s", [301.0, -301.0, 86_400.0])
def test_old_and_future_attempts_are_rejected(distance_s: float) -> None:
    """A replayed message and one from a wrong clock are refused beyond five minutes."""
    headers, body = signed()

    with pytest.raises(InvalidSignature, match="away, allowed: 300 s"):
        verify(SECRET, headers, body, NOW + distance_s)


def test_wrong_secret_is_rejected() -> None:
    """A signature by another secret is no signature."""
    headers, body = signed()

    with pytest.raises(InvalidSignature):
        verify(OTHER_SECRET, headers, body, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "plain-words",
        "whsec_***",
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        f"{SECRET} nonsense",
    ],
)
def test_malformed_secrets_are_refused_unseen(text: str) -> None:
    """A secret of the wrong form is refused with the allowed form, and what was given is not repeated."""
    with pytest.raises(InvalidDestination, match="24 to 64 random bytes") as refusal:
        parse_secrets(text)

    given_part = text.removeprefix("whsec_")[:12]
    assert given_part == "" or given_part not in str(refusal.value)


@pytest.mark.parametrize("length", [24, 32, 64])
def test_allowed_secret_lengths(length: int) -> None:
    """24 to 64 bytes are fine."""
    (secret,) = parse_secrets("whsec_" + base64.b64encode(b"k" * length).decode())

    assert secret.reveal() == b"k" * length


@pytest.mark.parametrize(
    ("url", "allow_private", "message"),
    [
        ("http://hooks.example.com", False, "http needs sync.webhook_allow_private"),
        ("ftp://hooks.example.com", True, "allowed: https or http"),
        ("hooks.example.com", False, "not an address"),
        ("https://", False, "not an address"),
        ("https://[::1", False, "not an address"),
        ("https://hooks.example.com:99999", False, "not an address"),
        ("https://user:pass@hooks.example.com", False, "user name or password"),
        ("file:///etc/passwd", True, "not an address"),
    ],
)
def test_unusable_addresses_are_refused(url: str, allow_private: bool, message: str) -> None:
    """An address that could not or must not be called is refused at start, without showing it."""
    with pytest.raises(InvalidDestination, match=message) as refusal:
        webhook(webhook_url=url, webhook_allow_private=allow_private)

    assert "pass@" not in str(refusal.value)


def test_message_follows_the_specification() -> None:
    """Type, time of the score and mapped data travel; the id is the score's and holds no dot."""
    headers, body = signed()
    message = json.loads(body)

    assert set(message) == {"type", "timestamp", "data"}
    assert message["timestamp"] == make_score("ada").scored_at
    assert message["data"] == {
        "customer_id": "ada",
        "probability": 0.5,
        "band": "high",
        "likelihood_to_churn": True,
        "percentile": 90.0,
        "horizon_days": 30.0,
        "reasons": [
            {
                "rank": 1,
                "feature": "days_since_order",
                "value": 40.0,
                "contribution": 1.25,
                "typical": 12.0,
                "text": "no order for 40 days",
            },
            {"rank": 2, "feature": "cancel_intent", "value": None, "contribution": 0.5, "typical": None, "text": ""},
        ],
        "model": {"name": "logistic", "version": "v7"},
        "score_id": "ada-1",
        "revision": 1,
        "as_of": make_score("ada").as_of,
        "scored_at": make_score("ada").scored_at,
    }
    assert headers["webhook-id"] == "msg_ada-1"


def test_dotted_score_ids_become_dotless_webhook_ids() -> None:
    """The id is part of the signed content, which dots separate, so it has none; different ids stay different."""
    ids = {
        webhook().build((change_of(make_score("ada", score_id=score_id)),), NOW).idempotency_id
        for score_id in ("a.1", "a.2", "a 1", "ü")
    }

    assert len(ids) == 4
    assert not any("." in message_id or " " in message_id for message_id in ids)


@pytest.mark.parametrize(
    ("kind", "band", "expected"),
    [
        ("entered", "high", "churn.customer.at_risk"),
        ("exited", "low", "churn.customer.recovered"),
        ("exited", "left", "churn.customer.left"),
        ("updated", "critical", "churn.score.updated"),
    ],
)
def test_type_says_what_changed(kind: ChangeKind, band: str, expected: str) -> None:
    """Receivers can route by type without looking into the data."""
    request = webhook().build((change_of(make_score("ada", band=band), kind),), NOW)

    assert json.loads(request.body)["type"] == expected


def test_too_large_message_is_not_built() -> None:
    """A body of 20,000 bytes or more is refused before anything is sent."""
    with pytest.raises(Unbuildable, match="allowed: fewer than 20000"):
        webhook().build((change_of(make_score("c" * 19_900)),), NOW)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, "ok") for status in (200, 201, 202, 204, 299)),
        *((status, "transient") for status in (301, 302, 303, 304, 307, 308)),
        *((status, "refused") for status in (400, 402, 404, 405, 406, 409, 411, 415, 418, 422, 451, 499, 501)),
        *((status, "auth") for status in (401, 403, 407)),
        *((status, "transient") for status in (408, 423, 425, 500, 502, 503, 504, 507, 599)),
        (410, "gone"),
        (413, "too_large"),
        (429, "throttle"),
    ],
)
def test_verdict_table(status: int, expected: str) -> None:
    """Each status has the consequence that the policy gives it."""
    assert standard_verdict(Reply(status, {}, b"", NOW)).kind == expected


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_timed_throttling_carries_its_wait(status: int) -> None:
    """With Retry-After, 429 and the gateways' statuses silence the whole destination for that time."""
    verdict = standard_verdict(Reply(status, {"retry-after": "7"}, b"", NOW))

    assert (verdict.kind, verdict.retry_after_s) == ("throttle", 7.0)


def test_detail_is_one_short_printable_line() -> None:
    """What an endpoint says is kept for the operator, cut and without control characters."""
    detail = standard_verdict(Reply(422, {}, b"no\x1b[31m such\r\nfield " + b"x" * 5000 + b"\xff", NOW)).detail

    assert detail.startswith("no [31m such field xxx")
    assert len(detail) == 200


def test_identity_follows_the_address_only() -> None:
    """Rotating a secret keeps the ledger; another address starts a new one."""
    assert webhook().identity == webhook(webhook_secret=OTHER_SECRET).identity
    assert webhook().identity != webhook(webhook_url="https://hooks.example.com/other").identity


def test_settings_log_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """A destination that lands in a log line shows neither secret nor path."""
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("configured %s %r", webhook(), webhook().secrets)

    assert "whsec" not in caplog.text
    assert "churn" not in caplog.text
