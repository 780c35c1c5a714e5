"""Environments of the peers: made once per set of pins, in a cache folder, never in the project's own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

_PEERS = Path(__file__).parent / "peers"
_WITHIN_S = 240.0


class PeerUnavailable(RuntimeError):  # noqa: N818 - reads as the fact that it states
    """A peer cannot be installed here; the message says why in one line."""


def peer_python(name: str, cache: Path) -> tuple[Path, str]:
    """The interpreter of a peer's environment, and the versions in it.

    Raises
    ------
    PeerUnavailable
        There is no `uv`, or it could not install the pins (no wheel for this platform, no network).
    """
    pins = _PEERS / f"requirements-{name}.txt"
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise PeerUnavailable("no uv beside this Python or on PATH")
    mark = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = cache / f"{name}-{mark}"
    python = home / "bin" / "python"
    if not (home / "done").exists():
        _run(uv, "venv", "-q", "--clear", "--python", sys.executable, str(home))
        _run(uv, "pip", "install", "-q", "--python", str(python), "-r", str(pins))
        (home / "done").touch()
    wanted = [line.split("==")[0].split("[")[0] for line in pins.read_text().split()]
    told = f"from importlib.metadata import version as v; print(', '.join(f'{{n}} {{v(n)}}' for n in {wanted!r}))"
    return python, _run(str(python), "-c", told).strip()


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        raise PeerUnavailable(f"{command[1]} took more than {_WITHIN_S:.0f} s") from None
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no reason told").splitlines()
        raise PeerUnavailable(f"cannot install: {lines[-1].strip()}")
    return done.stdout
