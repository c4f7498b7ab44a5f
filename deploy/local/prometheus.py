"""Prometheus beside the local stack, where `make tools` or the machine has it: our alerts, every service asked."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml

from deploy.local import tools
from deploy.local.ports import Ports
from deploy.local.processes import Processes, StartFailed
from deploy.prometheus import alerts, scraping

NAME = "prometheus"
_PAUSE_SECONDS = 0.05


def write_files(
    folder: Path, targets: Mapping[str, Sequence[str]], rules: Mapping[str, Any], scrape_seconds: float
) -> None:
    """Write what the server reads: `prometheus.yml`, and beside it `alerts.yml`."""
    configuration = scraping.configuration(targets, rules="alerts.yml", scrape_seconds=scrape_seconds)
    (folder / "alerts.yml").write_text(yaml.safe_dump(dict(rules)))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))


class Prometheus:
    """The server of one stack folder."""

    def __init__(
        self,
        folder: Path,
        processes: Processes,
        ports: Ports,
        *,
        find: Callable[[str], Path | None] = tools.find,
    ) -> None:
        self._folder = folder / NAME
        self._processes = processes
        self._ports = ports
        self._find = find

    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports.known(NAME)}"

    def start(
        self,
        targets: Mapping[str, Sequence[str]],
        *,
        rules: Mapping[str, Any] | None = None,
        scrape_seconds: float = scraping.SCRAPE_SECONDS,
    ) -> bool:
        """Start it, to ask these addresses by service; False where there is no Prometheus on this machine."""
        binary = self._find(NAME)
        if binary is None:
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        write_files(self._folder, targets, rules or alerts.rules(), scrape_seconds)
        if record := self._processes.running(NAME):
            os.kill(record.pid, signal.SIGHUP)  # it reads the files again: a service may have moved
            return True
        port = self._ports.get(NAME)
        self._processes.start(
            NAME,
            [
                *(binary, f"--config.file={self._folder / 'prometheus.yml'}", "--log.level=warn"),
                *(f"--storage.tsdb.path={self._folder / 'data'}", "--storage.tsdb.retention.time=7d"),
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            port=port,
            folder=self._folder,
        )
        return True

    def await_ready(self, seconds: float = 30.0) -> None:
        """Return when it answers. Raises: StartFailed."""
        deadline = time.monotonic() + seconds
        with httpx.Client(trust_env=False, timeout=5) as client:
            while True:
                try:
                    if client.get(f"{self.url()}/-/ready").status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                if not self._processes.running(NAME) or time.monotonic() > deadline:
                    raise StartFailed(f"Prometheus does not answer\n{self._processes.log_tail(NAME)}")
                time.sleep(_PAUSE_SECONDS)

    def stop(self) -> bool:
        return self._processes.stop(NAME, by=signal.SIGTERM)

    def delete(self) -> None:
        """Remove the data. The server must be stopped."""
        shutil.rmtree(self._folder, ignore_errors=True)
