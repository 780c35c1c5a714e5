from __future__ import annotations

import asyncio

import aiohttp
import pytest

from app.errors import AppError
from app.http import role_app, serve
from streams.telemetry import Telemetry


class Holder:
    """A role that knows one customer."""

    def customer(self, customer_id):
        return {"customer_id": customer_id, "orders": 3, "rate": float("nan")} if customer_id == "a/b" else None


def get(app, *paths, headers=None):
    """Serve `app` on a free port and return status, content type and text of each path."""

    async def run():
        async with serve(app, "127.0.0.1", 0, "http.worker_port") as url, aiohttp.ClientSession() as session:
            answers = []
            for path in paths:
                async with session.get(url + path, headers=headers) as response:
                    answers.append((response.status, response.content_type, await response.text()))
            return answers

    return asyncio.run(run())


def test_metrics_are_prometheus_text():
    """/metrics serves what the role counted, in the format that Prometheus reads."""
    telemetry = Telemetry("worker")
    telemetry.counter("events_total", "Events read.").inc(42)

    ((status, content_type, text),) = get(role_app(telemetry), "/metrics")

    assert (status, content_type) == (200, "text/plain")
    assert "ebbtide_events_total 42.0" in text.splitlines()


def test_a_role_is_ready_only_after_progress():
    """A starting role lives but is not ready, and says why."""
    telemetry = Telemetry("worker")

    (live, ready) = get(role_app(telemetry), "/health/live", "/health/ready")

    assert (live[0], ready[0]) == (200, 503)
    assert ready[2] == '{"role":"worker","ok":false,"reason":"starting: no progress yet"}'


@pytest.mark.parametrize(
    ("silent_s", "live", "ready"),
    [(0.0, 200, 200), (59.0, 200, 200), (61.0, 200, 503), (301.0, 503, 503)],
)
def test_health_means_progress(silent_s, live, ready):
    """A silent role first is not ready, and after a longer one is due for a restart."""
    now = [100.0]
    telemetry = Telemetry("worker", stall_after_s=60.0, exit_after_s=300.0, clock=lambda: now[0])
    telemetry.progress()
    now[0] += silent_s

    answers = get(role_app(telemetry), "/health/live", "/health/ready")

    assert [answer[0] for answer in answers] == [live, ready]


def test_status_is_the_roles_figures_with_its_health():
    """/status holds the figures, process id and readiness; NaN is null."""
    telemetry = Telemetry("trainer")
    telemetry.status |= {"examples": 3, "metrics": {"auc": float("nan")}, "lag": {("topic", 1)[0]: 5}}

    ((status, _, text),) = get(role_app(telemetry), "/status")

    assert status == 200
    assert '"examples":3,"metrics":{"auc":null},"lag":{"topic":5}' in text
    assert '"ready":false' in text


def test_customers_are_shown_by_a_role_that_holds_them():
    """A customer id with any characters is looked up; an unknown one is 404, as on a role without customers."""
    found, unknown = get(role_app(Telemetry("worker"), Holder), "/customers/a%2Fb", "/customers/c")
    (without,) = get(role_app(Telemetry("sync")), "/customers/a%2Fb")

    assert (found[0], found[2]) == (200, '{"customer_id":"a/b","orders":3,"rate":null}')
    assert (unknown[0], without[0]) == (404, 404)


def test_a_foreign_host_name_on_loopback_is_refused():
    """A web page whose name points to this machine cannot read customers."""
    app = role_app(Telemetry("worker"), Holder)

    ((status, _, _),) = get(app, "/customers/a%2Fb", headers={"Host": "evil.example"})

    assert status == 403


def test_a_busy_port_says_which_setting_to_change():
    """The second server on a port is refused with the port, the reason and the setting."""

    async def run():
        async with serve(role_app(Telemetry("worker")), "127.0.0.1", 0, "http.worker_port") as url:
            port = int(url.rpartition(":")[2])
            with pytest.raises(AppError) as caught:
                async with serve(role_app(Telemetry("sync")), "127.0.0.1", port, "http.sync_port"):
                    pass
            return port, str(caught.value)

    port, message = asyncio.run(run())

    assert message == (
        f"cannot listen on 127.0.0.1:{port}: the port is in use; "
        "allowed: a free port in http.sync_port, or 0 to take any"
    )
