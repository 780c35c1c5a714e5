"""JSON Schemas of what goes in and what comes out, as package data.

`event` is what producers send, `score` a value on topic `scores`, `label` on topic `labels`, `quarantine` on topic
`quarantine`. The files are generated from the structs (see `generate`), and a test holds them equal.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

NAMES: Final = ("event", "score", "label", "quarantine")


def load(name: str) -> dict[str, Any]:
    """The stored JSON Schema (draft 2020-12) of one kind of record.

    Raises
    ------
    ValueError
        If there is no schema of this name.
    """
    if name not in NAMES:
        raise ValueError(f"no schema {name!r} (there are: {', '.join(NAMES)})")
    schema: dict[str, Any] = json.loads(files(__name__).joinpath(f"{name}.schema.json").read_bytes())
    return schema
