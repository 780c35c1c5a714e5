from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.cli import build_parser
from app.roles import ROLES
from app.settings import load
from models.settings import BrokerSettings, Settings
from streams.embedded import free_port
from streams.topic_checks import check_topics
from streams.topics import create_topics
from tests.brokers import ROOT, KafkaServer, broker_settings
from tests.metrics import metric_names

DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"] == "ebbtide")
DOCKERFILE = (DOCKER / "Dockerfile").read_text("utf-8")
DASHBOARD: dict[str, Any] = json.loads((DOCKER / "grafana/dashboards/ebbtide.json").read_text("utf-8"))
#: What the image sets, as written in the Dockerfile.
IMAGE_ENV = dict(re.findall(r"(EBBTIDE_\w+)=(\S+)", DOCKERFILE))
READY_WITHIN_S = 60.0


def expanded(value: str) -> str:
    """A value with `${NAME:-default}` replaced by the default, as in an empty environment."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def environment(name: str) -> dict[str, str]:
    """What a container of ours sees: the image's variables, then the service's."""
    own = {key: expanded(str(value)) for key, value in SERVICES[name].get("environment", {}).items()}
    return IMAGE_ENV | own


def ebbtide_commands() -> list[str]:
    return [name for name in OURS if "entrypoint" not in SERVICES[name]]


@pytest.mark.parametrize("name", ebbtide_commands())
def test_every_command_is_one_of_the_command_line(name: str) -> None:
    """A service runs what a person could type."""
    args = build_parser().parse_args(SERVICES[name]["command"])

    assert args.command == SERVICES[name]["command"][0]


def test_every_role_is_a_service_of_its_name() -> None:
    """Nothing is missing from the whole, and names are the same everywhere."""
    run = {SERVICES[name]["command"][0] for name in ebbtide_commands()}

    assert {*ROLES, "topics", "console"} <= run
    assert [name for name in ebbtide_commands() if name != SERVICES[name]["command"][0]] == []


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_known_setting(name: str) -> None:
    """The environment of each service loads without a fault: no unknown name, no value out of range."""
    assert isinstance(load(environment(name)), Settings)


def test_an_unknown_variable_would_be_noticed() -> None:
    """The test above fails for a misspelt name."""
    with pytest.raises(Exception, match="EBBTIDE_BROKERS"):
        load(environment("worker") | {"EBBTIDE_BROKERS": "kafka:19092"})


def test_every_mounted_file_exists() -> None:
    """Bind mounts point to files of this repository, and named volumes are declared."""
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])]

    files = [mount for mount in mounts if mount.startswith(".")]

    assert [path for path in files if not (DOCKER / path).exists()] == []
    assert {mount for mount in mounts if not mount.startswith(".")} == set(COMPOSE["volumes"])


def test_services_depend_on_services_that_exist() -> None:
    """A role starts after the topics job, the topics job after a healthy Kafka."""
    needs = {name: set(service.get("depends_on", ())) for name, service in SERVICES.items()}

    assert set().union(*needs.values()) <= set(SERVICES)
    assert all(needs[role] == {"topics"} for role in ROLES)
    assert SERVICES["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}


def test_ports_are_open_to_this_machine_only() -> None:
    """No page or broker without a log-in is reachable from outside."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_addresses_between_services_are_right() -> None:
    """Host names are services, and ports are those that the roles listen on."""
    http = load(environment("worker")).http
    peers = load(environment("console")).http.peers
    scraped = yaml.safe_load((DOCKER / "prometheus.yml").read_text("utf-8"))["scrape_configs"]

    assert set(peers) == {f"{role}=http://{role}:{getattr(http, f'{role}_port')}" for role in ROLES}
    assert set(scrape_targets(scraped)) == {(role, getattr(http, f"{role}_port")) for role in ROLES}
    assert SERVICES["console"]["ports"] == [f"127.0.0.1:{http.console_port}:{http.console_port}"]


def scrape_targets(scraped: list[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    for job in scraped:
        for found in job.get("dns_sd_configs", []):
            yield from ((name, found["port"]) for name in found["names"])
        for found in job.get("static_configs", []):
            for target in found["targets"]:
                host, port = target.split(":")
                yield host, int(port)


def test_the_receiver_listens_where_sync_sends() -> None:
    """The webhook address, the receiver's port and the secret of both sides agree."""
    settings = load(environment("sync")).sync
    receiver = SERVICES["receiver"]
    options = dict(zip(receiver["command"][::2], receiver["command"][1::2], strict=True))

    assert importlib.util.find_spec(receiver["entrypoint"][2]) is not None
    assert settings.webhook_url == f"http://receiver:{options['--port']}/hook"
    assert settings.webhook_secret == environment("receiver")["EBBTIDE_SYNC_WEBHOOK_SECRET"]


def test_the_broker_is_the_version_that_the_tests_run() -> None:
    """What is deployed is what was tested."""
    pom = (ROOT / "tests/kafka/pom.xml").read_text("utf-8")
    version = re.search(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([^<]+)<", pom)

    assert version is not None
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version[1]}"


@pytest.mark.kafka
def test_the_brokers_configuration_starts_a_broker_that_takes_our_topics(jars: Path) -> None:
    """With the compose file's variables, as its image makes properties of them, Apache Kafka starts and serves."""
    lines = []
    for key, value in SERVICES["kafka"]["environment"].items():
        here = value.replace(":19092", ":{port}").replace(":9093", ":{controller}").replace(":9092", f":{free_port()}")
        here = re.sub(r"//(?=:)", "//127.0.0.1", here.replace("kafka:", "127.0.0.1:"))
        lines.append(f"{key.removeprefix('KAFKA_').lower().replace('_', '.')}={here}")
    properties = "\n".join(lines).replace("/var/lib/kafka/data", "{data}")

    with KafkaServer(jars, properties) as server:
        broker = broker_settings(server)
        asyncio.run(create_topics(broker))

        assert asyncio.run(check_topics(broker)) == []


def test_the_image_copies_files_that_exist_and_ignores_none_of_them() -> None:
    """Each COPY from the repository finds its source, and the ignore file lets it through."""
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    let_through = re.findall(r"^!(\S+)$", (DOCKER / "Dockerfile.dockerignore").read_text("utf-8"), re.MULTILINE)

    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert sorted(copied) == sorted(let_through)


def test_the_image_runs_as_nobody_special() -> None:
    """The last user of the Dockerfile is a number other than root's, and its folder is the data directory."""
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)

    assert users
    assert int(users[-1]) > 0
    assert IMAGE_ENV["EBBTIDE_DATA_DIR"] == "/data"
    assert f"--uid {users[-1]} --create-home --home-dir /data" in DOCKERFILE


def test_every_metric_on_the_dashboard_exists() -> None:
    """A panel over a misspelt metric would stay empty for ever."""
    expressions = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    used = {name for expression in expressions for name in re.findall(r"ebbtide_\w+", expression)}

    assert used
    assert used - metric_names() == set()


def test_the_dashboard_reads_the_provisioned_source() -> None:
    """Panels name the data source by the id that is provisioned, and the provider the folder that is mounted."""
    sources = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/prometheus.yml").read_text("utf-8"))
    providers = yaml.safe_load((DOCKER / "grafana/provisioning/dashboards/ebbtide.yml").read_text("utf-8"))
    used = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]}
    mounted = [mount.split(":")[1] for mount in SERVICES["grafana"]["volumes"]]

    assert used == {source["uid"] for source in sources["datasources"]}
    assert providers["providers"][0]["options"]["path"] in mounted
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"


class Deployment:
    """Our services of the compose file as plain processes: same commands and variables, free ports of this machine."""

    def __init__(self, broker: BrokerSettings, folder: Path) -> None:
        self._folder = folder
        ports = {name: free_port() for name in (*ROLES, "console", "receiver")}
        http = load(environment("worker")).http
        known = {role: getattr(http, f"{role}_port") for role in (*ROLES, "console")} | {"receiver": 8700}
        self._places = {f"{name}:{known[name]}": f"127.0.0.1:{port}" for name, port in ports.items()}
        self._ports = ports
        self._own = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "EBBTIDE_BROKER": broker.bootstrap,
            "EBBTIDE_BROKER_TOPIC_PREFIX": broker.topic_prefix,
            "EBBTIDE_BROKER_SESSION_TIMEOUT_S": str(broker.session_timeout_s),
            "EBBTIDE_BROKER_REBALANCE_TIMEOUT_S": str(broker.rebalance_timeout_s),
            "EBBTIDE_HTTP_HOST": "127.0.0.1",
            # As in a container, where nobody else listens.
            **{f"EBBTIDE_HTTP_{name.upper()}_PORT": "0" for name in (*ROLES, "console")},
        }

    def environment(self, name: str) -> dict[str, str]:
        """The service's variables, with hosts of this machine; services that share a volume share a folder."""
        env = environment(name)
        for place, here in self._places.items():
            env = {key: value.replace(place, here) for key, value in env.items()}
        volumes = [mount.split(":")[0] for mount in SERVICES[name].get("volumes", [])]
        own = {"EBBTIDE_DATA_DIR": str(self._folder / (volumes or [name])[0])}
        if name in (*ROLES, "console"):
            own[f"EBBTIDE_HTTP_{name.upper()}_PORT"] = str(self._ports[name])
        return env | self._own | own

    def command(self, name: str) -> list[str]:
        service = SERVICES[name]
        if name == "receiver":
            return [sys.executable, *service["entrypoint"][1:], "--port", str(self._ports["receiver"])]
        return [sys.executable, "-m", "app.cli", *service["command"]]

    def start(self, name: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                self.command(name), env=self.environment(name), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            )

    def run(self, name: str) -> None:
        """Run a service that ends by itself."""
        process = self.start(name)
        assert process.wait(READY_WITHIN_S) == 0, self.log(name)

    def healthy(self, name: str) -> bool:
        """What Docker's health check says of this service."""
        check = [sys.executable, str(DOCKER / "healthcheck.py")]
        env = self.environment(name) | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(check, env=env, capture_output=True, check=False).returncode == 0

    def log(self, name: str) -> str:
        return f"{name}:\n" + (self._folder / f"{name}.log").read_text()[-3000:]


def test_the_same_commands_run_as_plain_processes(bare_broker: BrokerSettings, tmp_path: Path) -> None:
    """With the compose file's commands and variables every service gets healthy, and ends well when told to stop."""
    deployment = Deployment(bare_broker, tmp_path)
    deployment.run("topics")
    names = ["receiver", *ROLES, "console"]
    with ExitStack() as stack:
        processes = {name: stack.enter_context(deployment.start(name)) for name in names}
        for process in processes.values():
            stack.callback(process.kill)

        for name in (*ROLES, "console"):
            deadline = time.monotonic() + READY_WITHIN_S
            while not deployment.healthy(name):
                assert processes[name].poll() is None, deployment.log(name)
                assert time.monotonic() < deadline, deployment.log(name)
        for process in processes.values():
            process.terminate()
        ends = {name: process.wait(READY_WITHIN_S) for name, process in processes.items()}

    assert ends == dict.fromkeys(names, 0), "".join(deployment.log(name) for name, status in ends.items() if status)
