"""Postgres, Kafka and Valkey of one folder, started together; each can be replaced by an address in the environment."""

import asyncio
import json
import os
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.database import create_database
from deploy.local.kafka import Kafka
from deploy.local.ports import Ports
from deploy.local.postgres import Postgres
from deploy.local.processes import Processes
from deploy.local.valkey import Valkey

SERVERS = ("postgres", "kafka", "valkey")
DATABASE = "platformbus"

_REPLACED_BY = {"postgres": "POSTGRES_ADMIN_DSN", "kafka": "KAFKA_BOOTSTRAP_SERVERS", "valkey": "VALKEY_URL"}


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the three are reached, whoever runs them."""

    postgres_admin_dsn: str
    kafka_bootstrap: str
    valkey_url: str


class Stack:
    """One folder's servers. Safe to build at any time: nothing starts before `start`."""

    def __init__(self, folder: Path, *, environment: Mapping[str, str] | None = None, heap_mb: int = 512) -> None:
        self.folder = folder.resolve()
        self.processes = Processes(self.folder)
        self.ports = Ports(self.folder / "ports.json")
        self._given = os.environ if environment is None else environment
        self.passwords = _Passwords(self.folder / "passwords.json")
        self.postgres = Postgres(self.folder, self.processes, self.ports, self.passwords.of("postgres"))
        self.kafka = Kafka(self.folder, self.processes, self.ports, heap_mb=heap_mb)
        self.valkey = Valkey(self.folder, self.processes, self.ports)

    def replaced(self, server: str) -> str | None:
        """The address in the environment that stands for this server, if there is one."""
        return self._given.get(_REPLACED_BY.get(server, "")) or None

    def addresses(self) -> Addresses:
        return Addresses(
            postgres_admin_dsn=self.replaced("postgres") or self.postgres.dsn(DATABASE),
            kafka_bootstrap=self.replaced("kafka") or self.kafka.bootstrap(),
            valkey_url=self.replaced("valkey") or self.valkey.url(),
        )

    async def start(self, only: Collection[str] = SERVERS, report: Callable[[str], None] = print) -> None:
        """Start what is asked for and not replaced, all at once, and return when every one answers.

        Raises: StartFailed with the end of the log of the one that did not come up; the others keep running.
        """
        wanted = [name for name in SERVERS if name in only]
        for name in wanted:
            if self.replaced(name):
                report(f"{name}: not started, {_REPLACED_BY[name]} is set")
        started = {name for name in wanted if not self.replaced(name)}
        starters = []
        if "postgres" in started:
            starters.append(self._start_postgres(report))
        if "kafka" in started:
            starters.append(self._start_kafka(report))
        if "valkey" in started:
            starters.append(self._start_valkey(report))
        await asyncio.gather(*starters)

    async def _start_postgres(self, report: Callable[[str], None]) -> None:
        await asyncio.to_thread(self.postgres.start)
        await self.postgres.ready()
        await create_database(self.postgres.dsn(), DATABASE)
        report(f"postgres: 127.0.0.1:{self.ports.known('postgres')}")

    async def _start_kafka(self, report: Callable[[str], None]) -> None:
        await asyncio.to_thread(self.kafka.start, report)
        await self.kafka.ready()
        report(f"kafka: {self.kafka.bootstrap()}")

    async def _start_valkey(self, report: Callable[[str], None]) -> None:
        await asyncio.to_thread(self.valkey.start)
        await self.valkey.ready()
        report(f"valkey: 127.0.0.1:{self.ports.known('valkey')}")

    def stop(self) -> list[str]:
        """Stop what runs, the database last; the names of what was stopped."""
        stoppers = {"valkey": self.valkey.stop, "kafka": self.kafka.stop, "postgres": self.postgres.stop}
        return [name for name, stop in stoppers.items() if stop()]

    def delete(self) -> None:
        """Stop, and delete all data."""
        self.stop()
        self.valkey.delete()
        self.kafka.delete()
        self.postgres.delete()


class _Passwords:
    """Random passwords by name, made once and kept, readable by their owner alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, name: str) -> str:
        try:
            known: dict[str, str] = json.loads(self._path.read_text())
        except FileNotFoundError:
            known = {}
        if name not in known:
            known[name] = secrets.token_urlsafe(24)
            write_private(self._path, json.dumps(known, indent=1))
        return known[name]


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step; nobody else can read it, not even while it is written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)
