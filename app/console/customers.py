"""The customers most at risk, as the newest snapshot has them; runs in a thread of the console."""

from __future__ import annotations

from app.console.overview import Table
from models.settings import Settings


def read_table(settings: Settings) -> Table:
    raise NotImplementedError
