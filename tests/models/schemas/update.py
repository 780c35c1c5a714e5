"""Write the stored JSON Schemas anew: `python -m tests.models.schemas.update`, after a change of structs."""

from __future__ import annotations

from pathlib import Path

import models.schemas
from models.schemas.generate import document


def update(folder: Path) -> None:
    for name in models.schemas.NAMES:
        (folder / f"{name}.schema.json").write_bytes(document(name))


if __name__ == "__main__":
    update(Path(models.schemas.__file__).parent)
