"""What must exist before traffic can flow: key, organizations, producer, connections. Made once, found again later."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx

from deploy.local.demo.internal_system import Api, DemoFailed

ORGANIZATION = "Demo organization"
SECOND_ORGANIZATION = "Second demo organization"
CONNECTION = "Demo connection"
SOURCE = "demo-shop"
OBJECTS_NEEDED = 120
HEARD_SECONDS = 60.0
"""For what one service announces and another has yet to read; one that was killed may be let back in after 10 s."""
PAUSE_SECONDS = 0.05

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that the traffic needs."""

    org_id: UUID
    operator_key: str
    key: str
    key_id: UUID
    connection_id: UUID
    object_ids: tuple[str, ...]
    """Objects on the platform that the connection's token may read, each once."""
    token: str
    """The connection's token in the clear, to look for where it must not be."""
    app: str
    """The platform's app that the token is of, and that pushes webhooks."""
    second_org_id: UUID
    second_connection_id: UUID
    """Another organization, which only gets webhooks."""
    sees: tuple[tuple[str, str], ...] = ()
    """Type and id of every account that the token may read."""
    ad_account: str = ""
    """The ad account among them that has most."""


async def operator_key(values: Mapping[str, str], say: Say, keep: Callable[[str], None]) -> str:
    """Give a key of the bus's operators: the kept one if it still works, else a new first one, which is kept."""
    kept = values.get("PLATFORMBUS_KEY")
    if kept:
        async with Api(values["INGEST_URL"], kept) as ingest:
            if (await ingest.send("GET", "/v1/organizations")).is_success:
                return kept
    say("making the first key")
    # --force: a key that was made before and is not kept here is of no use to anybody.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.cli", "keys", "bootstrap", "--name", "local stack", "--force", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **values},
    )
    output, words = await process.communicate()
    if process.returncode != 0:
        raise DemoFailed(f"`platformbus keys bootstrap` failed: {words.decode(errors='replace')[-2_000:]}")
    key = str(json.loads(output)["key"])
    keep(key)
    return key


async def set_scene(values: Mapping[str, str], key: str, say: Say) -> Scene:
    """Make what is missing and find what is there. Raises DemoFailed."""
    async with Api(values["INGEST_URL"], key) as ingest:
        org_id = await _organization(ingest, ORGANIZATION)
        second_org_id = await _organization(ingest, SECOND_ORGANIZATION)
        producer = {"org_ids": [str(org_id)], "kinds": ["api_request"], "active": True}
        await ingest.ask("PUT", f"/v1/producers/{SOURCE}", json=producer)
    async with Api(values["INGEST_URL"], key, org_id) as ingest:
        name = f"demo {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        made = await ingest.ask("POST", "/v1/keys", json={"name": name, "role": "editor"})
    say("two organizations, a key and a producer are there")
    seen = await _world(values["SANDBOX_URL"])
    connection_id = await _connection(values, key, org_id, seen.app, seen.token)
    second_connection_id = await _connection(values, key, second_org_id, seen.app, seen.token)
    say(f"a connection to Meta is there for each, its token sees {len(seen.object_ids)} objects")
    return Scene(
        org_id=org_id,
        operator_key=key,
        key=made["key"],
        key_id=UUID(made["key_id"]),
        connection_id=connection_id,
        object_ids=seen.object_ids,
        token=seen.token,
        app=seen.app,
        second_org_id=second_org_id,
        second_connection_id=second_connection_id,
        sees=seen.accounts,
        ad_account=seen.ad_account,
    )


async def connect_accounts(values: Mapping[str, str], scene: Scene, accounts: Mapping[UUID, Sequence[str]]) -> None:
    """Say which accounts, as `type:id`, belong to each connection; return when webhook_receiver has heard of it."""
    for connection_id, names in accounts.items():
        org_id = scene.org_id if connection_id == scene.connection_id else scene.second_org_id
        body = {"accounts": [dict(zip(("type", "id"), name.split(":", 1), strict=True)) for name in names]}
        async with Api(values["ASSET_SYNC_URL"], scene.operator_key, org_id) as assets:
            state = await assets.ask("PUT", f"/v1/connections/{connection_id}/accounts", json=body)
        await _until_heard(values, scene, connection_id, state["version"])


async def _until_heard(values: Mapping[str, str], scene: Scene, connection_id: UUID, version: int) -> None:
    deadline = time.monotonic() + HEARD_SECONDS
    async with Api(values["WEBHOOK_RECEIVER_URL"], scene.operator_key) as receiver:
        while time.monotonic() < deadline:
            answer = await receiver.send("GET", "/admin/trace", params={"id": str(connection_id)})
            steps = answer.json()["steps"] if answer.is_success else []
            if any(step["detail"].get("version", 0) >= version for step in steps):
                return
            await asyncio.sleep(PAUSE_SECONDS)
    raise DemoFailed(f"webhook_receiver has not heard of version {version} of connection {connection_id}")


async def _organization(ingest: Api, name: str) -> UUID:
    for organization in (await ingest.ask("GET", "/v1/organizations"))["items"]:
        if organization["name"] == name and organization["active"]:
            return UUID(organization["org_id"])
    made = await ingest.ask("POST", "/v1/organizations", json={"name": name})
    return UUID(made["org_id"])


async def _connection(values: Mapping[str, str], key: str, org_id: UUID, app: str, token: str) -> UUID:
    """Give the demo's connection with the sandbox's present token: a sandbox that was started again has new ones."""
    async with Api(values["ASSET_SYNC_URL"], key, org_id) as assets:
        await until_known(assets, "/v1/connections", "asset_sync")
        listed = await assets.ask("GET", "/v1/connections", params={"limit": 200})
        for connection in listed["connections"]:
            if connection["name"] == CONNECTION and connection["status"] != "disconnected":
                path, body = f"/v1/connections/{connection['id']}", {"access_token": token, "app_id": app}
                if (await assets.send("POST", f"{path}/token", json=body)).is_success:
                    return UUID(connection["id"])
                await assets.ask("DELETE", path)  # another user's: the sandbox has another world now
        made = await assets.ask(
            "POST",
            "/v1/connections",
            json={"platform": "meta", "name": CONNECTION, "app_id": app, "access_token": token},
        )
        return UUID(made["id"])


async def until_known(service: Api, path: str, who: str) -> None:
    """Wait until a service has heard of the key and the organization that it is asked with: they come by Kafka."""
    deadline = time.monotonic() + HEARD_SECONDS
    while not (answer := await service.send("GET", path)).is_success:
        if time.monotonic() > deadline:
            raise DemoFailed(f"{who} still does not know the key or its organization: {answer.text[:300]}")
        await asyncio.sleep(PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A token of an app, and what it sees."""

    app: str
    token: str
    object_ids: tuple[str, ...]
    accounts: tuple[tuple[str, str], ...]
    ad_account: str


async def _world(sandbox_url: str) -> _Seen:
    """Find an app, a valid user's token and enough objects that the token sees."""
    async with httpx.AsyncClient(base_url=sandbox_url, timeout=30, trust_env=False) as client:
        world = (await client.get("/_sandbox/world")).json()
        meta = world["platforms"]["meta"]
        tokens = [t for t in meta["tokens"] if t["state"] == "valid" and t["kind"] in ("user", "system_user")]
        for token in tokens:
            objects = {account["id"]: await _children(client, meta, account) for account in token["sees"]}
            unique = tuple(dict.fromkeys(each for ids in objects.values() for each in ids))
            if len(unique) >= OBJECTS_NEEDED:
                accounts = tuple((account["type"], account["id"]) for account in token["sees"])
                largest = max(objects, key=lambda account: len(objects[account]))
                return _Seen(token["app"], token["access_token"], unique, accounts, largest)
    raise DemoFailed(f"the sandbox's world has no Meta token that sees {OBJECTS_NEEDED} objects")


async def _children(client: httpx.AsyncClient, meta: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    """Give the ids of what an ad account holds: all of it has the fields that the demo asks for; posts have no name."""
    account = next((a for a in meta["accounts"] if a["type"] == seen["type"] and a["id"] == seen["id"]), None)
    if account is None or account["type"] != "ad_account":
        return []
    ids: list[str] = []
    for child, count in account.get("children", {}).items():
        if count:
            path = f"/_sandbox/world/meta/{account['type']}/{account['id']}/{child}"
            ids += [item["id"] for item in (await client.get(path)).json()["items"]]
    return ids
