"""Docker's health check: asks the role of this container, whichever it is, for its own verdict.

One container runs one role, so the port that answers is the role's. The console has no readiness of its own,
only /health/live. Exit status 0 is healthy, 1 is not; the reason is printed.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from http.client import HTTPException

from app.settings import load

_TIMEOUT_S = 4.0


def main() -> int:
    http = load(os.environ).http
    for port in (http.worker_port, http.trainer_port, http.warehouse_port, http.sync_port, http.console_port):
        try:
            return _ask(f"http://127.0.0.1:{port}/health/ready")
        except ConnectionRefusedError:
            continue
    print("no role listens on its port", file=sys.stderr)
    return 1


def _ask(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310 - our own loopback address
            print(response.read().decode())
            return 0
    except urllib.error.HTTPError as error:
        if error.code == 404 and url.endswith("/ready"):
            return _ask(url.removesuffix("ready") + "live")
        print(error.read().decode(), file=sys.stderr)
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            raise error.reason from None
        print(f"{url}: {error.reason}", file=sys.stderr)
    except (OSError, HTTPException) as error:
        print(f"{url}: {error!r}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
