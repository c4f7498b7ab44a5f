"""Operators' routes for parked records, over a real database and handlers that fail when told to."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest

from libs.events.ingest_identities import ApiKey
from libs.events.requests import RequestSubmitted
from libs.messaging.kept import KeptRecord, headers_json
from libs.messaging.messages import Message, Route
from libs.messaging.parked import store
from libs.messaging.parked.store import ToPark
from libs.messaging.records import Routing
from libs.postgres import Connection, Database
from libs.runtime.admin import AdminDeps, admin_router
from libs.runtime.auth import Authenticator
from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.security.api_keys import new_api_key
from libs.security.identities import apply_identity
from libs.vocabulary import Role
from tests.support.asgi import client_of, problem_of
from tests.support.bus import headers_for
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db


@dataclass
class Scene:
    database: Database
    client: httpx.AsyncClient
    routes: list[Route]
    bad: set[str] = field(default_factory=set)
    handled: list[str] = field(default_factory=list)

    async def park(self, *names: str, key: str = "k") -> list[str]:
        """Park a key: the first record failed, the others wait behind it; give their ids, in order."""
        routing = Routing(self.routes)
        at = ("requests", key)
        records = []
        for number, name in enumerate(names):
            record = KeptRecord("requests", 0, number, key.encode(), body(name), tuple(headers_for(RequestSubmitted)))
            records.append(ToPark(routing.read(record), at, None if number else "ValueError: token=sesame1234"))
        async with self.database.transaction() as connection:
            await store.block(connection, "ingest", {at: "ValueError: token=sesame1234"}, 3_600.0)
            await store.park(connection, "ingest", records)
            rows = await connection.fetch("SELECT id FROM parked WHERE key = $1 ORDER BY seq", key)
        return [str(row["id"]) for row in rows]

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.client.get(f"/admin/parked{path}", params=params)
        assert answer.is_success, answer.text
        return answer.json()

    async def statuses(self) -> list[str]:
        async with self.database.acquire() as connection:
            return [row["status"] for row in await connection.fetch("SELECT status FROM parked ORDER BY seq")]


def body(name: str, **more: Any) -> bytes:
    payload = {"name": name} | more
    return RequestSubmitted(kind="api_request", org_id=uuid4(), payload=payload).model_dump_json().encode()


@pytest.fixture
async def scene(ingest_database: ServiceDatabase) -> AsyncIterator[Scene]:
    async with opened(ingest_database, most_attempts=20) as made:
        yield made


@asynccontextmanager
async def opened(ingest_database: ServiceDatabase, *, most_attempts: int) -> AsyncIterator[Scene]:
    database = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    key = new_api_key()
    async with database.transaction() as connection:
        identity = ApiKey(
            key_id=uuid4(),
            org_id=None,
            name="k",
            role=Role.SUPER_ADMIN,
            key_hash=key.key_hash,
            hint=key.hint,
            expires_at=None,
            revoked_at=None,
            created_at=datetime.now(UTC),
        )
        await apply_identity(connection, identity, 1)

    async def handle(_: Connection, messages: Sequence[Message]) -> None:
        for message in messages:
            name = cast("RequestSubmitted", message.data).payload["name"]
            if name in made.bad:
                raise ValueError(f"{name} is bad")
            made.handled.append(name)

    nothing = cast("Any", None)
    routes = [Route("requests", (RequestSubmitted,), handle)]
    deps = AdminDeps("ingest", database, nothing, routes, {}, most_attempts)
    app = create_app("ingest", routers=[admin_router(deps)], health=Health(), authenticator=Authenticator(database))
    async with client_of(app, key=key.text) as client:
        made = Scene(database, client, routes)
        yield made
    await database.close()


async def test_the_list_shows_a_line_per_key_and_on_demand_all_that_waits(scene: Scene) -> None:
    first, second = await scene.park("a", "b")
    (other,) = await scene.park("c", key="other")
    listed = await scene.get("")
    assert [(one["id"], one["key"], one["waiting"]) for one in listed] == [(first, "k", 2), (other, "other", 1)]
    assert (listed[0]["key_status"], listed[0]["attempts"], listed[0]["status"]) == ("waiting", 1, "open")
    assert [one["id"] for one in await scene.get("", topic="requests", key="k")] == [first, second]
    assert await scene.get("", topic="batcher.results") == []
    assert len(await scene.get("", limit=1)) == 1


async def test_a_parked_record_is_shown_without_its_secrets(scene: Scene) -> None:
    (parked_id,) = await scene.park("a")
    async with scene.database.acquire() as connection:
        await connection.execute("UPDATE parked SET value = $1", body("a", access_token="EAAGm0PX4ZCpsBAKZBZC"))
    whole = await scene.get(f"/{parked_id}")
    assert "[redacted]" in whole["value"]
    assert "sesame1234" not in json.dumps(whole)
    assert "EAAG" not in json.dumps(whole)


async def test_a_header_of_a_secret_name_is_not_shown(scene: Scene) -> None:
    (parked_id,) = await scene.park("a")
    secret, told = ("x-api-key", b"s3cr3t-value-123456"), ("x-empty-token", None)
    async with scene.database.acquire() as connection:
        await connection.execute("UPDATE parked SET headers = $1", headers_json([secret, told, ("x-shop", b"eu")]))
    whole = await scene.get(f"/{parked_id}")
    assert whole["headers"] == [["x-api-key", "[redacted]"], ["x-empty-token", None], ["x-shop", "eu"]]


async def test_a_redrive_replays_the_whole_key_in_order(scene: Scene) -> None:
    _, second, _ = await scene.park("a", "b", "c")
    answer = await scene.client.post(f"/admin/parked/{second}/redrive")
    assert answer.json()["count"] == 3
    assert "the key is free" in answer.json()["done"]
    assert scene.handled == ["a", "b", "c"]
    assert await scene.statuses() == ["replayed"] * 3
    assert await scene.get("") == []
    problem_of(await scene.client.post(f"/admin/parked/{second}/redrive"), 409, "cannot_redrive")
    assert [action["action"] for action in (await scene.get(f"/{second}"))["actions"]] == ["redrive"]


async def test_a_redrive_that_does_not_reach_its_record_says_why_and_keeps_what_went_through(scene: Scene) -> None:
    first, _, third = await scene.park("a", "b", "c")
    scene.bad.add("b")
    document = problem_of(await scene.client.post(f"/admin/parked/{third}/redrive"), 409, "still_fails")
    assert "replayed 1 of its key's records" in document["detail"]
    assert "b is bad" in document["detail"]
    assert await scene.statuses() == ["replayed", "open", "open"]
    assert (await scene.get(f"/{first}"))["status"] == "replayed"
    (head,) = await scene.get("")
    assert (head["key_status"], head["key_attempts"], "b is bad" in head["error"]) == ("waiting", 1, True)


async def test_a_key_that_was_given_up_is_tried_again_by_a_redrive(scene: Scene) -> None:
    (parked_id,) = await scene.park("a")
    async with scene.database.acquire() as connection:
        await connection.execute("UPDATE parked_keys SET status = 'gave_up', attempts = 20")
    scene.bad.add("a")
    problem_of(await scene.client.post(f"/admin/parked/{parked_id}/redrive"), 409, "still_fails")
    assert (await scene.get(""))[0]["key_status"] == "waiting"
    scene.bad.clear()
    assert (await scene.client.post(f"/admin/parked/{parked_id}/redrive")).is_success
    assert scene.handled == ["a"]


async def test_a_redrive_that_was_the_last_attempt_gives_the_key_up_with_the_handlers_error(
    ingest_database: ServiceDatabase,
) -> None:
    async with opened(ingest_database, most_attempts=1) as scene:
        (parked_id,) = await scene.park("a")
        scene.bad.add("a")
        problem_of(await scene.client.post(f"/admin/parked/{parked_id}/redrive"), 409, "still_fails")
        (head,) = await scene.get("")
        assert (head["key_status"], head["key_attempts"]) == ("gave_up", 1)
        async with scene.database.acquire() as connection:
            assert await connection.fetchval("SELECT last_error FROM parked_keys") == "ValueError: a is bad"


async def test_an_edit_must_fit_and_is_what_the_next_replay_takes(scene: Scene) -> None:
    parked_id, _ = await scene.park("a", "b")
    scene.bad.add("a")
    path = f"/admin/parked/{parked_id}"
    assert (
        "does not fit" in problem_of(await scene.client.patch(path, json={"value": "{"}), 409, "cannot_edit")["detail"]
    )
    assert (await scene.client.patch(path, json={"value": body("mended").decode()})).is_success
    assert (await scene.client.patch(path, json={"value": body("well").decode()})).is_success
    assert (await scene.client.post(f"{path}/redrive")).is_success
    assert scene.handled == ["well", "b"]
    whole = await scene.get(f"/{parked_id}")
    assert '"a"' in whole["original_value"]
    assert [action["action"] for action in whole["actions"]] == ["edit", "edit", "redrive"]
    problem_of(await scene.client.patch(path, json={"value": body("late").decode()}), 409, "cannot_edit")


async def test_dropping_the_head_lets_the_others_go_and_its_id_is_not_handled_any_more(scene: Scene) -> None:
    first, _ = await scene.park("a", "b")
    assert (await scene.client.post(f"/admin/parked/{first}/drop", json={"reason": "test data"})).is_success
    (head,) = await scene.get("")
    assert (head["attempts"], head["key_attempts"], head["waiting"]) == (0, 0, 1)
    whole = await scene.get(f"/{first}")
    assert (whole["status"], whole["note"], whole["actions"][0]["note"]) == ("dropped", "test data", "test data")
    async with scene.database.acquire() as connection:
        assert await connection.fetchval("SELECT event_id FROM inbox") == whole["event_id"]
    problem_of(await scene.client.post(f"/admin/parked/{first}/drop", json={"reason": "again"}), 409, "already_ended")
    assert (await scene.client.post(f"/admin/parked/{head['id']}/drop", json={"reason": "too"})).is_success
    assert await scene.get("") == []


async def test_dropping_a_head_that_ended_its_process_lets_the_others_go_though_it_never_failed(scene: Scene) -> None:
    _, deadly, _ = await scene.park("a", "deadly", "c")
    async with scene.database.transaction() as connection:
        await connection.execute("UPDATE parked SET status = 'replayed', ended_at = now() WHERE attempts > 0")
        await connection.execute("UPDATE parked_keys SET attempts = 20, status = 'gave_up'")
    assert (await scene.client.post(f"/admin/parked/{deadly}/drop", json={"reason": "deadly"})).is_success
    (head,) = await scene.get("")
    assert (head["key_status"], head["key_attempts"], head["waiting"]) == ("waiting", 0, 1)


async def test_a_dry_run_changes_nothing(scene: Scene) -> None:
    first, _ = await scene.park("a", "b")
    for method, path, content in (
        ("POST", "redrive", None),
        ("POST", "drop", {"reason": "not needed"}),
        ("PATCH", "", {"value": body("other").decode()}),
    ):
        answer = await scene.client.request(
            method, f"/admin/parked/{first}/{path}".rstrip("/"), params={"dry_run": True}, json=content
        )
        assert answer.is_success, answer.text
        assert answer.json()["dry_run"] is True
    assert await scene.statuses() == ["open", "open"]
    whole = await scene.get(f"/{first}")
    assert (whole["edited_at"], whole["actions"], whole["key_attempts"]) == (None, [], 0)


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "", None),
        ("PATCH", "", {"value": "{}"}),
        ("POST", "/redrive", None),
        ("POST", "/drop", {"reason": "whatever"}),
    ],
)
async def test_what_does_not_exist_is_404(scene: Scene, method: str, path: str, content: Any) -> None:
    problem_of(await scene.client.request(method, f"/admin/parked/{uuid4()}{path}", json=content), 404, "not_found")
