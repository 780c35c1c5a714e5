"""Reasons and features in words that a person who knows no feature name can read."""

from __future__ import annotations

from models.features import FEATURES
from models.features.base import Feature
from models.records import Reason

_BY_NAME: dict[str, Feature] = {feature.name: feature for feature in FEATURES}
_UNITLESS = frozenset({"ratio", "share", "money", "0/1", "-1..1"})


def meaning(feature: str) -> str:
    """What a feature is; its own name if this version does not know it."""
    known = _BY_NAME.get(feature)
    return known.description if known else feature


def amount(feature: str, value: float | None) -> str:
    """A feature's value with its unit, short."""
    if value is None or value != value:
        return "unknown"
    unit = _BY_NAME[feature].unit if feature in _BY_NAME else ""
    if unit == "0/1":
        return "yes" if value else "no"
    if unit in _UNITLESS:
        return _number(value)
    return f"{_number(value)} {unit.removesuffix('s') if value == 1 else unit}".rstrip()


def brief_amount(feature: str, value: float | None) -> str:
    """The value next to the feature's name, which says all but a unit of time."""
    text = amount(feature, value)
    return text if text.endswith((" days", " day")) else text.split(" ")[0]


def reason_line(reason: Reason) -> str:
    """One reason as a line: what, how much, and how far it moves the log-odds against the average customer."""
    moves = "raises" if reason.contribution > 0 else "lowers"
    return (
        f"{reason.text or f'{meaning(reason.feature)}: {amount(reason.feature, reason.value)}'} "
        f"({moves} the risk, {reason.contribution:+.2f}; {reason.feature})"
    )


def _number(value: float) -> str:
    if abs(value) < 1e9 and value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"
