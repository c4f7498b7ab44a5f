"""Traffic that moves every metric once, and what is watched of it: the queries of dashboards and alerts."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

import httpx

from tests.support.processes import ROOT
from tests.support.proxy import Proxy
from tests.support.system import System
from tests.support.traffic import (
    Ask,
    Client,
    Organization,
    make_operator,
    make_organization,
    name_accounts,
    send_by_http,
)

FLOW: Final = ROOT / "deploy/grafana/dashboards/flow.json"
PAGE: Final = "153125381133"
_ASKS: Final = 12


def panels(path: Path = FLOW) -> Iterator[tuple[str, list[str]]]:
    """Give each panel's title with its queries."""
    for panel in json.loads(path.read_text())["panels"]:
        if panel["type"] != "row":
            yield panel["title"], [target["expr"] for target in panel["targets"]]


@dataclass(slots=True)
class Stage:
    """A system with an organization whose page pushes and whose team asks."""

    system: System
    operator: Client
    organization: Organization
    client: Client
    http: httpx.AsyncClient
    numbers: Iterator[int]
    ways: Mapping[str, Proxy] = field(default_factory=dict)
    """Those between services and servers that may be broken, as `Cluster.proxies` names them."""

    @classmethod
    async def make(cls, system: System, ways: Mapping[str, Proxy] | None = None) -> Self:
        operator = await make_operator(system)
        organization = await make_organization(system, operator, "watched")
        await name_accounts(system, operator, organization, [("page", PAGE)])
        http = httpx.AsyncClient(trust_env=False, timeout=15)
        client = Client(system.urls, organization.key)
        return cls(system, operator, organization, client, http, count(1), ways or {})

    async def close(self) -> None:
        for client in (self.operator, self.client):
            await client.close()
        await self.http.aclose()

    async def ask(self, number: int = _ASKS, *, object_key: str | None = None) -> None:
        """Ask for reads by HTTP that are due at once."""
        asks = [
            Ask(f"watched-{n}", object_key or f"object-{n}", self.organization.objects[n % 50], "http", 9, 0)
            for n in (next(self.numbers) for _ in range(number))
        ]
        await asyncio.gather(*(send_by_http(self.client, self.organization, ask) for ask in asks))

    async def push(
        self, *, page: str = PAGE, forged: bool = False, body: bytes | None = None, status: int = 200
    ) -> bytes:
        """Deliver one change of the page, or the given body again, to this answer; give the body."""
        app, secret = next(iter(json.loads(self.system.environment["META_APP_SECRETS"]).items()))
        value = {"leadgen_id": str(next(self.numbers)), "page_id": page, "created_time": 1_588_890_044}
        entry = {"id": page, "time": 1_588_890_044, "changes": [{"field": "leadgen", "value": value}]}
        body = body or json.dumps({"object": "page", "entry": [entry]}).encode()
        key = secret[::-1] if forged else secret
        headers = {"X-Hub-Signature-256": f"sha256={hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}"}
        url = f"{self.system.urls['webhook_receiver']}/webhooks/meta/{app}"
        answer = await self.http.post(url, content=body, headers=headers)
        assert answer.status_code == (401 if forged else status), answer.text
        return body

    async def knock_as_a_stranger(self) -> None:
        """Ask for an app that nobody named, as whoever tries out addresses does."""
        answer = await self.http.get(f"{self.system.urls['webhook_receiver']}/webhooks/meta/.env")
        assert answer.status_code == 404, answer.text

    async def move_everything(self) -> None:
        """Requests, webhooks (good, repeated, forged, to nobody) and a run of a job of every service."""
        await self.ask()
        body = await self.push()
        await self.push(body=body)
        await self.push(forged=True)
        await self.knock_as_a_stranger()
        for service in ("ingest", "asset_sync", "batcher", "webhook_receiver"):
            jobs = await self.operator.ask(service, "GET", "/admin/jobs")
            name = next(job["name"] for job in jobs if job["name"] != "prune")
            await self.operator.ask(service, "POST", f"/admin/jobs/{name}/run")


def rules(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The alerts of a rules file by name."""
    return {rule["alert"]: rule for group in document["groups"] for rule in group["rules"]}


def last_commands(runbook: str) -> list[str]:
    """The commands at the end of a runbook, as they are to be typed."""
    return runbook.split("```")[-2].strip().splitlines()
