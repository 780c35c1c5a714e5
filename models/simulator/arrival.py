"""How events travel: envelopes with their three clocks, and the few that come late, twice, or broken.

Envelopes are put together as text: everything that goes in is made by the simulator and needs no escaping, and this
is several times faster than encoding a dictionary for each event.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import lru_cache
from operator import itemgetter
from random import Random
from time import gmtime, strftime
from typing import Final, NamedTuple

from models.events.catalog import CATALOG, CLICKSTREAM
from models.simulator.settings import SimulatorSettings
from models.simulator.shop import CONTEXTS

_DAY_MS = 86_400_000
_CLOCK: Final = tuple(f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in range(86_400))
_NETWORK_MS = 40
_LATE_MS = (60_000, 36 * 3_600_000)
_SKEW_MS = 3 * 3_600_000


class SimulatedEvent(NamedTuple):
    """One record as a producer would send it. `time` is the event's own time in epoch seconds."""

    topic: str
    key: str
    time: float
    raw: bytes


class Mail:
    """Takes what happened, and hands it out in the order of arrival.

    What is late, doubled or broken is decided by dice of its own each, so that these rates change nothing else.
    """

    def __init__(self, customer_ids: list[str], settings: SimulatorSettings) -> None:
        self._ids = [_identity(number, customer_id) for number, customer_id in enumerate(customer_ids)]
        self._keys = customer_ids
        self._settings = settings
        self._travel, self._late, self._skew, self._retry, self._break = (
            Random(f"{name} {settings.seed}") for name in ("travel", "late", "skew", "retry", "break")
        )
        self._sequence = 0
        self._waiting: list[tuple[int, int, SimulatedEvent]] = []

    def page(self, customer: int, at: int, body: str) -> None:
        """A page call; `body` holds its name and properties. `at` is in epoch milliseconds here and below."""
        self._post(customer, at, CLICKSTREAM, '"type":"page"', body)

    def identify(self, customer: int, at: int, body: str) -> None:
        """An identify call; `body` holds its traits."""
        self._post(customer, at, CLICKSTREAM, '"type":"identify"', body)

    def track(self, customer: int, at: int, name: str, properties: str) -> None:
        """A track call of an event that the catalog knows."""
        self._post(customer, at, CATALOG[name].topic, f'"type":"track","event":"{name}"', f'"properties":{properties}')

    def deliver(self, until: int | None) -> Iterator[SimulatedEvent]:
        """What arrives before a time, or everything."""
        self._waiting.sort()
        count = len(self._waiting) if until is None else bisect_left(self._waiting, until, key=itemgetter(0))
        ready, self._waiting = self._waiting[:count], self._waiting[count:]
        for _, _, event in ready:
            yield event

    def _post(self, customer: int, at: int, topic: str, head: str, body: str) -> None:
        settings = self._settings
        lag = 100 + int(self._travel.random() * 2_000)
        if self._late.random() < settings.late_rate:
            lag = self._late.randint(*_LATE_MS)
        self._sequence += 1
        raw = (
            f'{{{head},"messageId":"m-{settings.seed}-{self._sequence:08d}",{self._ids[customer]},'
            f"{self._clocks(at, lag)},{body}}}"
        ).encode()
        event = SimulatedEvent(topic, self._keys[customer], at / 1000, raw)
        self._waiting.append((at + lag, self._sequence, event))
        if self._retry.random() < settings.duplicate_rate:
            self._waiting.append((at + lag + self._retry.randint(1_000, 600_000), self._sequence, event))
        if self._break.random() < settings.hostile_rate:
            broken = self._break.choice(_BREAKERS)(raw)
            hostile = SimulatedEvent(topic, self._keys[customer], (at + lag) / 1000, broken)
            self._waiting.append((at + lag, self._sequence, hostile))

    def _clocks(self, at: int, lag: int) -> str:
        """The times of an event: as the server worked them out, or with a wrong client clock left to the reader."""
        received = at + lag
        if self._skew.random() < self._settings.skewed_rate:
            skew = self._skew.randint(-_SKEW_MS, _SKEW_MS)
            client, sending = iso(at + skew), iso(received + skew)
            return f'"originalTimestamp":"{client}","sentAt":"{sending}","receivedAt":"{iso(received)}"'
        original, sent = at - _NETWORK_MS, received - _NETWORK_MS
        return (
            f'"timestamp":"{iso(at)}","originalTimestamp":"{iso(original)}",'
            f'"sentAt":"{iso(sent)}","receivedAt":"{iso(received)}"'
        )


def iso(at: int) -> str:
    """Epoch milliseconds as ISO-8601 UTC."""
    day, rest = divmod(at, _DAY_MS)
    second, ms = divmod(rest, 1000)
    return f"{_date(day)}T{_CLOCK[second]}.{ms:03d}Z"


@lru_cache(maxsize=64)
def _date(day: int) -> str:
    return strftime("%Y-%m-%d", gmtime(day * 86_400))


def _identity(number: int, customer_id: str) -> str:
    anonymous = f"{number * 2_654_435_761 % 2**48:012x}"
    return f'"userId":"{customer_id}","anonymousId":"a-{anonymous}","context":{CONTEXTS[number % len(CONTEXTS)]}'


def _without(field: bytes) -> Callable[[bytes], bytes]:
    return lambda raw: raw.replace(field, b'"x' + field[1:])


#: What makes a good event one that must be refused: each takes its bytes and returns broken ones.
_BREAKERS: Final[tuple[Callable[[bytes], bytes], ...]] = (
    lambda raw: raw[: len(raw) // 2],
    lambda raw: raw.replace(b'"m-', b'"\xff\xfe', 1),
    lambda raw: _without(b'"anonymousId"')(_without(b'"userId"')(raw)),
    lambda raw: raw.replace(b':"20', b':"soon 20'),
    lambda raw: raw.replace(b'"type":"', b'"type":"not-', 1),
    lambda raw: raw.replace(b'"userId":"', b'"userId":["', 1).replace(b'","anonymousId"', b'"],"anonymousId"', 1),
    lambda raw: b"[" + raw + b"]",
    lambda _: b"",
    lambda _: b"null",
)
