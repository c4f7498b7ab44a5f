"""A live Prometheus over a running system: the one of `make tools`, or the one that PROMETHEUS_URL names."""

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import pytest

from deploy.local.ports import Ports
from deploy.local.processes import Processes
from deploy.local.prometheus import Prometheus, write_files
from tests.support.system import System

SCRAPE_SECONDS = 1.0


@dataclass(slots=True)
class Live:
    """Answers queries about what it has scraped."""

    url: str
    http: httpx.AsyncClient
    own: Prometheus | None

    @classmethod
    async def start(cls, folder: Path, targets: Mapping[str, list[str]], rules: Mapping[str, Any]) -> Self:
        """Start it, or have the given one read its files anew, and return when it answers."""
        http = httpx.AsyncClient(trust_env=False, timeout=15)
        given = os.environ.get("PROMETHEUS_URL")
        if given:
            await _reconfigure(http, given, targets, rules)
            return cls(given, http, None)
        own = Prometheus(folder, Processes(folder), Ports(folder / "ports.json"))
        if not own.start(targets, rules=rules, scrape_seconds=SCRAPE_SECONDS):
            pytest.fail("there is no Prometheus here: run `make tools`, or set PROMETHEUS_URL")
        own.await_ready()
        return cls(own.url(), http, own)

    async def close(self) -> None:
        await self.http.aclose()
        if self.own:
            self.own.stop()

    async def has_data(self, query: str, seconds: float = 60.0) -> bool:
        """Whether the query gave a number at any moment of the last minute. Raises: AssertionError if it is refused."""
        now = time.time()
        found = await self._get("query_range", query=query, start=now - seconds, end=now, step=1)
        return any(not math.isnan(float(value)) for series in found["result"] for _, value in series["values"])

    async def found(self, query: str) -> list[dict[str, str]]:
        """The labels of what the query finds now."""
        found = await self._get("query", query=query)
        return [series["metric"] for series in found["result"]]

    async def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        found = await self._get("alerts")
        return {alert["labels"]["alertname"] for alert in found["alerts"] if alert["state"] == "firing"}

    async def _get(self, what: str, **parameters: str | float) -> Any:
        answer = await self.http.get(f"{self.url}/api/v1/{what}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


def targets_of(system: System) -> dict[str, list[str]]:
    """Every process of the system by its service."""
    targets: dict[str, list[str]] = {}
    for name in system.fleet.names():
        if name != "sandbox":
            service, address = name.split("-")[0], urlsplit(system.fleet[name].spec.ready_url).netloc
            targets.setdefault(service, []).append(address)
    return targets


async def _reconfigure(
    http: httpx.AsyncClient, url: str, targets: Mapping[str, list[str]], rules: Mapping[str, Any]
) -> None:
    folder = os.environ.get("PROMETHEUS_CONFIG_DIR")
    if not folder:
        pytest.fail(
            "with PROMETHEUS_URL, PROMETHEUS_CONFIG_DIR names the folder whose prometheus.yml that server reads"
        )
    write_files(Path(folder), targets, rules, SCRAPE_SECONDS)
    answer = await http.post(f"{url}/-/reload")
    assert answer.status_code == 200, f"start it with --web.enable-lifecycle: {answer.status_code} {answer.text}"
