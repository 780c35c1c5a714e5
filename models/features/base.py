"""How a feature is declared: a group file names its summaries and its features.

See `models.features` for the registry that reads the group files of this folder.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Transform = Literal["identity", "log1p"]


class Feature(msgspec.Struct, frozen=True):
    """One column of the feature vector.

    `transform` is what models apply before scaling (`log1p` for counts, sums and durations). A feature
    that is not known yet is NaN in the vector, null in JSON and absent from River's dicts.
    """

    name: str
    group: str
    unit: str
    description: str
    transform: Transform = "identity"
