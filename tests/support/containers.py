"""The same three servers in containers, where a Docker engine answers. Validated, not run: no engine was at hand."""

import os
import socket
from typing import Any

from deploy.local.kafka_jars import VERSION as KAFKA_VERSION
from deploy.local.ports import choose

POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = f"apache/kafka:{KAFKA_VERSION}"
VALKEY_IMAGE = "valkey/valkey:9"


def engine_answers() -> bool:
    """Whether a Docker engine can be asked for a container."""
    scheme, _, rest = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").partition("://")
    host, _, port = rest.partition(":")
    address = rest if scheme == "unix" else (host, int(port or 2375))
    with socket.socket(socket.AF_UNIX if scheme == "unix" else socket.AF_INET) as engine:
        engine.settimeout(3)
        try:
            engine.connect(address)
            engine.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in engine.recv(64)
        except OSError:
            return False


class Containers:
    """Starts a container per server and remembers it until `stop`."""

    def __init__(self) -> None:
        self._running: list[Any] = []

    def start(self, name: str) -> str:
        """Start the server and return its address once it answers."""
        return {"postgres": self._postgres, "kafka": self._kafka, "valkey": self._valkey}[name]()

    def stop(self) -> None:
        for container in self._running:
            container.stop()

    def _postgres(self) -> str:
        from testcontainers.postgres import PostgresContainer

        container = PostgresContainer(POSTGRES_IMAGE, dbname="platformbus", driver=None)
        container.with_command("postgres -c max_connections=300")
        self._running.append(container.start())
        return str(container.get_connection_url())

    def _kafka(self) -> str:
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy

        # A broker tells its clients where it is: the port on this side must be known before it starts.
        port = choose()
        container = (
            DockerContainer(KAFKA_IMAGE)
            .with_bind_ports(port, port)
            .with_envs(
                KAFKA_NODE_ID="1",
                KAFKA_PROCESS_ROLES="broker,controller",
                KAFKA_LISTENERS=f"PLAINTEXT://:{port},CONTROLLER://:9093",
                KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://127.0.0.1:{port}",
                KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
                KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
                KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
                KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
                KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
                KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
                KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
                KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS="1000",
                KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
            )
            .waiting_for(LogMessageWaitStrategy("Kafka Server started"))
        )
        self._running.append(container.start())
        return f"127.0.0.1:{port}"

    def _valkey(self) -> str:
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy

        container = DockerContainer(VALKEY_IMAGE).with_exposed_ports(6379)
        container.waiting_for(LogMessageWaitStrategy("Ready to accept connections"))
        self._running.append(container.start())
        return f"valkey://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"
