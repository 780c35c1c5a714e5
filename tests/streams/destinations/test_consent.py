from __future__ import annotations

import msgspec
import pytest

from streams.destinations.contract.consent import AddressedScore, allows
from tests.streams.sync.support import make_score


def addressed(**given: dict[str, bool]) -> AddressedScore:
    return msgspec.convert(msgspec.to_builtins(make_score("ada")) | given, AddressedScore)


@pytest.mark.parametrize(
    ("integrations", "expected"),
    [
        ({}, True),
        ({"All": True}, True),
        ({"All": False}, False),
        ({"All": False, "Customer.io": True}, True),
        ({"customerio": False}, False),
        ({"crm": False, "customerio": True}, False),
        ({"Mixpanel": False}, True),
    ],
)
def test_integrations_switch_destinations(integrations: dict[str, bool], expected: bool) -> None:
    """A destination is switched by its name or type, else by `All`, and one refusal is enough."""
    assert allows(addressed(integrations=integrations), ("crm", "customerio"), ()) is expected


@pytest.mark.parametrize(
    ("consent", "expected"),
    [({}, False), ({"ads": True}, False), ({"ads": True, "mail": True}, True), ({"ads": False, "mail": True}, False)],
)
def test_categories_must_be_agreed_to(consent: dict[str, bool], expected: bool) -> None:
    """A destination that needs categories gets only customers who are known to have agreed to each of them."""
    assert allows(addressed(consent=consent), ("crm",), ("ads", "mail")) is expected


def test_record_without_either_is_held_back_by_categories_alone() -> None:
    """A plain score passes where nothing is asked for, and does not where consent is."""
    assert allows(make_score("ada"), ("crm",), ())
    assert not allows(make_score("ada"), ("crm",), ("ads",))
