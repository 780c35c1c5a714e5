"""Consent as a hard gate: who did not agree is not told about, whatever else the settings say.

Two things may stand on a record of topic `scores`, both as Segment's spec has them. `integrations` switches
destinations by name, `All` standing for those that are not named. `consent` holds the category preferences of
`context.consent`. A record with neither is not held back by `integrations`; but a destination that asks for
categories gets only customers who are known to have agreed to every one of them.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from models.records import Score


class AddressedScore(Score, frozen=True, kw_only=True):
    """A score as destinations read it: with what its customer agreed to, where the record says so."""

    integrations: dict[str, bool] = msgspec.field(default_factory=dict)
    consent: dict[str, bool] = msgspec.field(default_factory=dict)


def allows(score: Score, names: Iterable[str], categories: Iterable[str]) -> bool:
    """Whether the customer may be told about to a destination.

    Parameters
    ----------
    names
        What the destination is called: its own name, its type. Compared without letter case, spaces and signs.
    categories
        Consent categories that it needs.
    """
    agreed, switched = (score.consent, score.integrations) if isinstance(score, AddressedScore) else ({}, {})
    if not all(agreed.get(category) is True for category in categories):
        return False
    switches = {_plain(name): on for name, on in switched.items()}
    named = [switches[_plain(name)] for name in names if _plain(name) in switches]
    return all(named) if named else bool(switches.get("all", True))


def _plain(name: str) -> str:
    return "".join(char for char in name.lower() if char.isalnum())
