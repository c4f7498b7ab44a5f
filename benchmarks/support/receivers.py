"""Receivers of webhooks as processes of their own: the service itself, and the alternative that it is measured with."""

import json
import secrets
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.support.deliveries import NUMBER_OF_RAW
from benchmarks.support.http_load import Load
from benchmarks.support.servers import Servers
from deploy.local import ports
from tests.support.processes import ROOT, Spec, Watched

APP = "1234567890"
SECRET = secrets.token_hex(16)

SERVICE = ("services.webhook_receiver",)
EDGE = ("services.webhook_receiver", "--only", "http")
INSERT_PER_REQUEST = ("benchmarks.support.insert_per_request",)


@dataclass(frozen=True, slots=True)
class Receiver:
    """A process that takes webhooks, and its database's view of what it took."""

    process: Watched
    url: str
    where: Servers

    def resident_mebibytes(self) -> float:
        return float(self.process.used().memory_info().rss) / 2**20

    def cpu_seconds(self) -> float:
        times = self.process.used().cpu_times()
        return float(times.user + times.system)

    def load(self, connections: int, seconds: float, **more: Any) -> Load:
        return Load(f"{self.url}/webhooks/meta/{APP}", SECRET, connections, seconds, **more)


@asynccontextmanager
async def receiver(where: Servers, arguments: Sequence[str], **extra: str) -> AsyncIterator[Receiver]:
    """Start a receiver and end it; it starts again by itself when it is killed."""
    port = ports.choose([])
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kek = folder / "kek.json"
        kek.write_text(json.dumps({"active": "b", "keys": {"b": b64encode(secrets.token_bytes(32)).decode()}}))
        environment = {
            "WEBHOOK_RECEIVER_WORKER_DSN": where.database.worker_dsn,
            "WEBHOOK_RECEIVER_API_DSN": where.database.api_dsn,
            "WEBHOOK_RECEIVER_PORT": str(port),
            "SECRETS_KEK_FILE": str(kek),
            "META_APP_SECRETS": json.dumps({APP: SECRET}),
            "KAFKA_BOOTSTRAP_SERVERS": where.bootstrap,
            "KAFKA_REPLICATION_FACTOR": "1",
            "PYTHONPATH": str(ROOT),
            **extra,
        }
        process = Watched(Spec(arguments[0], arguments, environment, f"{url}/ready"), folder / "log")
        await process.start()
        try:
            await process.ready()
            yield Receiver(process, url, where)
        finally:
            await process.stop()


async def stored(where: Servers) -> int:
    """How many deliveries with a true signature there are."""
    return int(await _ask(where, "SELECT count(*) FROM webhooks.webhook_events WHERE signature_valid"))


async def stored_numbers(where: Servers) -> list[int]:
    """Which ones, with repetitions, if there are any."""
    query = f"SELECT array_agg({NUMBER_OF_RAW}) FROM webhooks.webhook_events WHERE signature_valid"
    return list(await _ask(where, query) or [])


async def row_bytes(where: Servers) -> int:
    """Mean length of a stored row."""
    query = "SELECT avg(pg_column_size(row)) FROM (SELECT * FROM webhooks.webhook_events LIMIT 1000) AS row"
    return round(await _ask(where, query) or 0)


async def empty(where: Servers) -> None:
    """Begin each cell with an empty table and nothing to write back."""
    connection = await asyncpg.connect(where.database.admin_dsn)
    await connection.execute("TRUNCATE webhooks.webhook_events")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def preallocate_wal(where: Servers) -> None:
    """Make Postgres keep 2 GB of its log to write over: a file that grows syncs at half the rate of one that is there.

    Only where the server is the benchmark's own; both sides of each ratio write to the same log.
    """
    if where.stack.replaced("postgres"):
        print("Postgres is somebody else's: its write-ahead log is left as it is")
        return
    connection = await asyncpg.connect(where.database.admin_dsn)
    for name, value in (("min_wal_size", "2GB"), ("max_wal_size", "4GB")):
        await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    await connection.execute("SELECT pg_reload_conf()")
    for _ in range(130):
        await connection.execute("SELECT pg_logical_emit_message(true, 'bench', 'x')")
        await connection.execute("SELECT pg_switch_wal()")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def durability(where: Servers) -> str:
    """Give the settings that make a commit durable, to be shown beside each result."""
    connection = await asyncpg.connect(where.database.admin_dsn)
    names = ("fsync", "synchronous_commit", "full_page_writes", "data_checksums", "shared_buffers")
    said = [f"{name} {await connection.fetchval(f'SHOW {name}')}" for name in names]
    await connection.close()
    return ", ".join(said)


async def _ask(where: Servers, query: str) -> Any:
    connection = await asyncpg.connect(where.database.admin_dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()
