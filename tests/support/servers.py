"""The real Postgres, Kafka and Valkey of a test session: from the environment, from containers, or embedded, in
that order.

Each is started when the first test asks for it, and stopped when the session ends. What a killed session left running
is ended by the next one.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from deploy.local.processes import start_time
from deploy.local.stack import Stack
from tests.support.containers import Containers, engine_answers

FOLDER = Path(__file__).parents[2] / ".local" / "tests"

# The last database of a stock Valkey: a test may empty it even where an address of somebody's own server is given.
_VALKEY_DATABASE = "15"


class Servers:
    """Addresses of the session's servers; asking for one starts it."""

    def __init__(self) -> None:
        self._started: list[str] = []

    @cached_property
    def postgres_admin_dsn(self) -> str:
        return self._address("postgres", "POSTGRES_ADMIN_DSN")

    @cached_property
    def kafka_bootstrap(self) -> str:
        return self._address("kafka", "KAFKA_BOOTSTRAP_SERVERS")

    @cached_property
    def valkey_url(self) -> str:
        parts = urlsplit(self._address("valkey", "VALKEY_URL"))
        return urlunsplit(parts._replace(path=f"/{_VALKEY_DATABASE}"))

    @cached_property
    def _containers(self) -> Containers | None:
        return Containers() if engine_answers() else None

    @cached_property
    def _embedded(self) -> Stack:
        _end_leftovers()
        return Stack(own_folder(), environment={}, heap_mb=384)

    def _address(self, name: str, variable: str) -> str:
        given = os.environ.get(variable)
        if given:
            return given
        if self._containers:
            return self._containers.start(name)
        self._started.append(name)
        # In a thread, because a test session's own loop may be running already.
        _in_thread(lambda: asyncio.run(self._embedded.start((name,), report=lambda _: None)))
        addresses = self._embedded.addresses
        return {
            "postgres": lambda: addresses().postgres_admin_dsn,
            "kafka": lambda: addresses().kafka_bootstrap,
            "valkey": lambda: addresses().valkey_url,
        }[name]()

    def stop(self) -> None:
        """Stop what this session started, and delete its data."""
        if self._started:
            self._embedded.delete()
            shutil.rmtree(self._embedded.folder, ignore_errors=True)
        if "_containers" in self.__dict__ and self._containers:
            self._containers.stop()


def own_folder(suffix: str = "") -> Path:
    """A folder of this session's, whose servers and data the next session ends if this one is killed."""
    return FOLDER / f"{os.getpid()}-{start_time(os.getpid())}{suffix and '-'}{suffix}"


def _in_thread(work: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def _end_leftovers() -> None:
    for folder in FOLDER.glob("*-*"):
        pid, started, *_ = folder.name.split("-")
        if pid.isdigit() and start_time(int(pid)) != started:
            left = Stack(folder, environment={})
            for name in left.processes.names():  # a test's own cluster has more of them than a stack
                left.processes.stop(name, by=signal.SIGKILL)
            left.delete()
            shutil.rmtree(folder, ignore_errors=True)
