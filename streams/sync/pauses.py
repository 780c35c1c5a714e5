"""Pauses of destinations by their operator: a small file each, so that they hold over restarts and from any process."""

from __future__ import annotations

from pathlib import Path

from models.settings import Settings

_LONGEST = 200


def folder(settings: Settings) -> Path:
    """Where the sync role keeps what it must remember."""
    return Path(settings.data_dir) / "sync"


def ledger_path(settings: Settings, destination: str) -> Path:
    return folder(settings) / f"{destination}.sqlite"


def reason(settings: Settings, destination: str) -> str:
    """Why the destination is paused; empty if it is not."""
    try:
        text = _path(settings, destination).read_text("utf-8").strip()
    except FileNotFoundError:
        return ""
    return text[:_LONGEST] or "paused"


def pause(settings: Settings, destination: str, why: str) -> None:
    """Send nothing to the destination until `resume`; its scores wait."""
    path = _path(settings, destination)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(why.strip()[:_LONGEST] + "\n", "utf-8")


def resume(settings: Settings, destination: str) -> bool:
    """Go on sending; True if the destination was paused."""
    path = _path(settings, destination)
    was = path.exists()
    path.unlink(missing_ok=True)
    return was


def _path(settings: Settings, destination: str) -> Path:
    return folder(settings) / f"{destination}.paused"
