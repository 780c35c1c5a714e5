"""What an audit says."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal[
    "single_feature", "label_echo", "known_too_late", "features_differ", "after_leaving", "early_learning", "overlap"
]
Severity = Literal["warning", "fault"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One suspicion of a leak.

    `subject` is the feature, event name or part that is meant; `size` is a share between 0 and 1 (an AUC for
    `single_feature`) and `sentence` says what it is a share of. A `fault` makes every measure worthless; a `warning` is
    for a human to judge.
    """

    kind: Kind
    subject: str
    size: float
    severity: Severity
    sentence: str
