"""The brokers that tests run against: the embedded one, and a real Apache Kafka started from Maven jars."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Self

from models.settings import BrokerSettings
from streams.embedded import EmbeddedBroker, answers, die_with_parent, free_port

ROOT = Path(__file__).resolve().parent.parent
_POM = Path(__file__).parent / "kafka" / "pom.xml"
_READY_WITHIN_S = 60.0
_STOP_WITHIN_S = 30.0
_MAVEN_WITHIN_S = 600.0
_JAVA_NEEDED = 17

#: Session timeouts in seconds. The embedded broker lets a member wait half of it at every join, but keeps a member
#: that is late; Apache Kafka lets members join at once, but drops those that a busy machine keeps from answering.
EMBEDDED_SESSION_S, KAFKA_SESSION_S = 2.0, 6.0

# A start costs 3 s in all: the C1 compiler alone and the serial collector start fastest.
_JAVA = ["java", "-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
message.max.bytes=9437184
auto.create.topics.enable=false
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
"""


class KafkaUnavailable(RuntimeError):  # noqa: N818 - reads as the fact that it states
    """Java 17 or Maven is missing, or the jars cannot be had."""


def broker_settings(server: EmbeddedBroker | KafkaServer) -> BrokerSettings:
    """Settings for one test: topics of its own, short group timeouts."""
    return BrokerSettings(
        bootstrap=server.bootstrap,
        topic_prefix=f"t{uuid.uuid4().hex[:8]}-",
        session_timeout_s=KAFKA_SESSION_S if isinstance(server, KafkaServer) else EMBEDDED_SESSION_S,
        rebalance_timeout_s=10.0,
    )


def kafka_jars() -> Path:
    """The folder with Apache Kafka's jars, filled by Maven once per version of the pom.

    Raises
    ------
    KafkaUnavailable
        Java or Maven is missing or too old, or Maven failed.
    """
    _require_java()
    if shutil.which("mvn") is None:
        raise KafkaUnavailable("no mvn on PATH; Maven is needed for Apache Kafka's jars")
    jars = ROOT / "target" / f"kafka-jars-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"
    if not jars.is_dir():
        _copy_jars(jars)
    return jars


def _require_java() -> None:
    if shutil.which("java") is None:
        raise KafkaUnavailable(f"no java on PATH; Java {_JAVA_NEEDED} is needed for Apache Kafka")
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) < _JAVA_NEEDED:
        raise KafkaUnavailable(f"java is {told.splitlines()[:1]}, needed: {_JAVA_NEEDED} or newer")


def _copy_jars(jars: Path) -> None:
    jars.parent.mkdir(exist_ok=True)
    # Test runs at the same time each fill a folder of their own; the first rename wins.
    with tempfile.TemporaryDirectory(dir=jars.parent) as scratch:
        filled = Path(scratch) / "jars"
        command = ["mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies", f"-DoutputDirectory={filled}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MAVEN_WITHIN_S, check=False)
        if done.returncode != 0:
            raise KafkaUnavailable(f"maven could not collect Apache Kafka's jars: {done.stdout[-2000:]}")
        try:
            filled.rename(jars)
        except OSError:
            if not jars.is_dir():
                raise


class KafkaServer:
    """One Apache Kafka node (KRaft, controller and broker in one), on free ports, with its data in a temp folder.

    `start` after `stop` or `kill` continues on the same data and ports. As a context manager it is started,
    and its data removed at the end. `properties` replaces the tests' own configuration; `{port}`, `{controller}`
    and `{data}` in it are filled in.
    """

    def __init__(self, jars: Path, properties: str = _PROPERTIES) -> None:
        self._classpath = f"{jars}/*"
        self._folder = tempfile.TemporaryDirectory(prefix="ebbtide-kafka-")
        self._home = Path(self._folder.name)
        self._process: subprocess.Popen[bytes] | None = None
        self.port, controller = free_port(), free_port()
        text = properties.format(port=self.port, controller=controller, data=self._home / "data")
        self._properties = self._home / "server.properties"
        self._properties.write_text(text)
        self._format()

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "this Kafka is not running"
        return self._process.pid

    def start(self) -> None:
        """Start the node and wait until it answers a metadata request."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*die_with_parent(), *self._java("kafka.Kafka")], stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _READY_WITHIN_S
        while not answers(self.bootstrap):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"Apache Kafka did not start:\n{self._log.read_text()[-4000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Shut down in good order (about 2 s)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()
        self._folder.cleanup()

    @property
    def _log(self) -> Path:
        return self._home / "kafka.log"

    def _java(self, main: str, *arguments: str) -> list[str]:
        java = shutil.which("java") or "java"
        options = ["-cp", self._classpath, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        return [java, *_JAVA[1:], *options, main, *arguments, str(self._properties)]

    def _format(self) -> None:
        """Prepare the data folder as `kafka-storage format` does."""
        cluster_id = "ebbtide-tests-00000000"
        command = self._java("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c")
        subprocess.run(command, check=True, capture_output=True, timeout=_READY_WITHIN_S)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def required_here() -> bool:
    """Whether a missing Apache Kafka fails the tests instead of skipping them: in CI."""
    return os.environ.get("CI", "").lower() in {"1", "true"}
