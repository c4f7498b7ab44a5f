"""Servers of one test's own, which it may kill, freeze and cut off: Postgres, Valkey, one Kafka broker or three.

Services are told the addresses of proxies; the test itself looks at the servers directly.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local import ports
from deploy.local.kafka import Kafka, Node, make_cluster_id
from deploy.local.postgres import Postgres
from deploy.local.processes import Record, wait_for_end
from deploy.local.stack import Stack
from deploy.local.valkey import Valkey
from libs.postgres.schemas import SCHEMAS
from tests.support.databases import TestDatabase
from tests.support.proxy import Proxy
from tests.support.until import until

_HEAP_MB: Final = 256
_END_SECONDS: Final = 10.0

Server = Postgres | Kafka | Valkey


NO_LEADER: Final = -1
"""As Kafka says it."""


def leader_in(described: Sequence[Mapping[str, Any]], number: int) -> int:
    """The leader of one topic's partition, as an admin client describes it; NO_LEADER if it is not there."""
    partitions = [part for topic in described for part in topic["partitions"]]
    return next((int(part["leader"]) for part in partitions if part["partition"] == number), NO_LEADER)


class Cluster:
    """The servers by name: `postgres`, `valkey`, and `kafka` or `kafka-1`, `kafka-2`, `kafka-3`.

    Nothing starts before `start`. A killed server starts again on its port, with its data.
    """

    def __init__(self, folder: Path, *, brokers: int = 1) -> None:
        self._stack = Stack(folder, environment={}, heap_mb=_HEAP_MB)
        self.brokers: dict[str, Kafka] = {}
        self.to_broker: dict[str, Proxy] = {}
        """The way of all services to each broker, by its name: a broker tells one address to all."""
        self.to_database = {service: self._proxy(service) for service in SCHEMAS}
        """Each service's own way to the database."""
        cluster = make_cluster_id()
        for number in range(1, brokers + 1):
            self._add_broker(Node(number, brokers, cluster))
        self._servers: dict[str, Server] = {
            "postgres": self._stack.postgres,
            "valkey": self._stack.valkey,
            **self.brokers,
        }

    def _add_broker(self, node: Node) -> None:
        proxy = self._proxy(node.name())
        seen = Node(node.number, node.of, node.cluster, services_port=proxy.port)
        kafka = Kafka(
            self._stack.folder, self._stack.processes, self._stack.ports, heap_mb=_HEAP_MB, node=seen, quick=True
        )
        proxy.target = kafka.services_port()
        self.brokers[kafka.name] = kafka
        self.to_broker[kafka.name] = proxy

    def _proxy(self, name: str) -> Proxy:
        return Proxy(self._stack.ports.get(f"to-{name}"), 0)

    @property
    def proxies(self) -> Mapping[str, Proxy]:
        """Every way that can be broken, by its two ends: `batcher~postgres`, `services~kafka`."""
        ways = {f"{service}~postgres": proxy for service, proxy in self.to_database.items()}
        return ways | {f"services~{broker}": proxy for broker, proxy in self.to_broker.items()}

    @property
    def postgres_admin_dsn(self) -> str:
        """A superuser's address, past the proxies."""
        return self._stack.postgres.dsn()

    @property
    def kafka_bootstrap(self) -> str:
        """Every broker, past the proxies."""
        return ",".join(broker.bootstrap() for broker in self.brokers.values())

    @property
    def valkey_url(self) -> str:
        return self._stack.valkey.url()

    def environment(self, database: TestDatabase) -> dict[str, str]:
        """What services are told: every broker and the database behind proxies; topics as safe as the brokers allow."""
        made = {
            "KAFKA_BOOTSTRAP_SERVERS": ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.to_broker.values()),
            "KAFKA_REPLICATION_FACTOR": str(len(self.brokers)),
        }
        for service, proxy in self.to_database.items():
            for role in ("owner", "worker", "api"):
                parts = urlsplit(database.dsn(service, role))
                behind = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{proxy.port}"))
                made[f"{service.upper()}_{role.upper()}_DSN"] = behind.geturl()
        return made

    async def start(self) -> None:
        """Start every server and proxy; return when all answer."""
        await asyncio.gather(*(self._start(name) for name in self._servers))
        for proxy in self.to_database.values():
            proxy.target = self._record("postgres").port
        for proxy in self.proxies.values():
            proxy.start()

    async def close(self) -> None:
        """Stop everything and delete all data."""
        await asyncio.gather(*(proxy.close() for proxy in self.proxies.values()))
        for name in self._servers:
            self.thaw(name)
        await asyncio.to_thread(self._delete)

    def _delete(self) -> None:
        for name in self.brokers:  # the last of several would wait for a majority before it ends by itself
            self._stack.processes.stop(name, by=signal.SIGKILL)
        for server in self._servers.values():
            server.stop()
            server.delete()
        shutil.rmtree(self._stack.folder, ignore_errors=True)

    async def kill(self, name: str) -> None:
        """SIGKILL the server and return when it is gone."""
        record = self._record(name)
        os.kill(record.pid, signal.SIGKILL)
        await asyncio.to_thread(wait_for_end, record, _END_SECONDS)

    async def restart(self, name: str) -> None:
        """Start a killed server again where it was and return when it answers."""
        known = self._stack.ports.known(name)

        async def is_free() -> bool:
            return known is not None and ports.is_free(known)

        await until(is_free, f"the port of {name} to be free")
        await self._start(name)

    async def leader_of(self, place: str) -> str:
        """Name of the broker that leads `topic/partition`; while none does, wait."""
        topic, _, number = place.rpartition("/")
        leads = NO_LEADER

        async def is_told() -> bool:
            nonlocal leads
            # The broker that is asked may have been struck a moment ago: another one is asked then.
            client = AIOKafkaAdminClient(bootstrap_servers=self.kafka_bootstrap)
            try:
                await client.start()
                leads = leader_in(await client.describe_topics([topic]), int(number))
            except KafkaError:
                return False
            finally:
                await client.close()
            return leads != NO_LEADER

        await until(is_told, f"{place} to have a leader")
        return f"kafka-{leads}"

    def freeze(self, name: str) -> None:
        """SIGSTOP: the server stands still, connections to it stay open. Of Postgres only what accepts connections."""
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self._signal(name, signal.SIGCONT)

    async def _start(self, name: str) -> None:
        server = self._servers[name]
        if isinstance(server, Kafka):
            await asyncio.to_thread(server.start, lambda _: None)
        else:
            await asyncio.to_thread(server.start)
        await server.ready()

    def _signal(self, name: str, number: signal.Signals) -> None:
        record = self._stack.processes.running(name)
        if record is not None:
            os.kill(record.pid, number)

    def _record(self, name: str) -> Record:
        record = self._stack.processes.running(name)
        assert record is not None, f"{name} does not run: {self._stack.processes.log_tail(name)}"
        return record
