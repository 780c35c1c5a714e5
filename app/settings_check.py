"""Rules between settings, and the forms that a type cannot say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

from app.settings_value import masked_url
from models.evaluation.cohorts import parse_cohorts
from models.features import FEATURE_NAMES
from models.settings import Settings

_ROLES = ("worker", "trainer", "warehouse", "sync")
_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):(\d{1,5})")
_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,100}")


def conflicts(settings: Settings) -> Iterator[str]:
    """Every fault of the settings as a whole; nothing if they fit together."""
    yield from _broker(settings)
    yield from _times(settings)
    yield from _bands(settings)
    yield from _labels(settings)
    yield from _cohorts(settings)
    yield from _webhook(settings)
    yield from _ports(settings)
    yield from _destinations(settings)


def _broker(settings: Settings) -> Iterator[str]:
    broker = settings.broker
    for address in filter(None, broker.bootstrap.split(",")):
        found = _BROKER.fullmatch(address.strip())
        if found is None or not 0 < int(found[2]) < 65_536:
            yield f"broker.bootstrap: {address!r} is not host:port; allowed: one or more, comma separated"
    if not _PREFIX.fullmatch(broker.topic_prefix):
        yield f"broker.topic_prefix = {broker.topic_prefix!r}: allowed: up to 100 letters, digits, '.', '_' and '-'"
    if broker.security_protocol.startswith("SASL") and not (broker.sasl_username and broker.sasl_password):
        yield f"broker.security_protocol = {broker.security_protocol} needs broker.sasl_username and sasl_password"


def _times(settings: Settings) -> Iterator[str]:
    earliest = settings.events.earliest
    try:
        aware = datetime.fromisoformat(earliest).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        yield f"events.earliest = {earliest!r}: allowed: an ISO-8601 time with its zone, such as 1990-01-01T00:00:00Z"
    sync = settings.sync
    if sync.retry_base_s > sync.retry_cap_s:
        yield f"sync.retry_base_s = {sync.retry_base_s} is above sync.retry_cap_s = {sync.retry_cap_s}"


def _bands(settings: Settings) -> Iterator[str]:
    score = settings.score
    if not 0 < score.medium_from < score.high_from < score.critical_from <= 1:
        yield (
            f"score bands medium_from = {score.medium_from}, high_from = {score.high_from}, "
            f"critical_from = {score.critical_from}: allowed: 0 < medium < high < critical <= 1"
        )


def _labels(settings: Settings) -> Iterator[str]:
    label, trainer = settings.label, settings.trainer
    names = "cancellation_events" if label.kind == "cancellation" else "activity_events"
    if not getattr(label, names):
        yield f"label.{names} is empty; label.kind = {label.kind!r} needs at least one event name"
    if trainer.min_positives > trainer.min_labels:
        yield f"trainer.min_positives = {trainer.min_positives} is above trainer.min_labels = {trainer.min_labels}"


def _cohorts(settings: Settings) -> Iterator[str]:
    try:
        parse_cohorts(settings.evaluation.cohorts, FEATURE_NAMES)
    except ValueError as error:
        yield f"evaluation.cohorts: {error}"


def _webhook(settings: Settings) -> Iterator[str]:
    url = settings.sync.webhook_url
    if url and not _is_web_address(url):
        yield f"sync.webhook_url = {masked_url(url)!r}: allowed: an http:// or https:// address with a host"


def _destinations(settings: Settings) -> Iterator[str]:
    if settings.destinations:
        # Reading every destination's file takes a while, and most processes have none configured.
        from streams.destinations import faults_of

        yield from faults_of(settings)


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _ports(settings: Settings) -> Iterator[str]:
    http = settings.http
    seen: dict[int, str] = {}
    for name in ("console_port", *(f"{role}_port" for role in _ROLES)):
        port: int = getattr(http, name)
        if port and port in seen:
            yield f"http.{name} = {port} is already http.{seen[port]}; allowed: a port of its own, or 0 for a free one"
        seen.setdefault(port, name)
    for peer in http.peers:
        role, _, url = peer.partition("=")
        if role not in _ROLES or not _is_web_address(url):
            yield f"http.peers: {peer!r}: allowed: worker, trainer, warehouse or sync, then =http://host:port"
