import base64
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prometheus_client import REGISTRY

from libs.events.envelope import Envelope, new_event_id
from libs.events.ingest_identities import ApiKey, Organization
from libs.events.requests import RequestSubmitted
from libs.jobs import Job, Scheduler
from libs.messaging.messages import Message, Route
from libs.messaging.outbox import append
from libs.postgres import Connection, Database
from libs.runtime.admin import AdminDeps, admin_router
from libs.runtime.auth import Authenticator
from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.security.api_keys import new_api_key
from libs.security.identities import apply_identity
from libs.vocabulary import Role
from tests.support.asgi import client_of, problem_of
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db

NOW = datetime.now(UTC)
PUT_LETTER = """
INSERT INTO dead_letters (id, consumer, topic, partition, record_offset, key, value, headers, record_hash, reason)
VALUES ($1, 'ingest', 'requests', 3, 42, 'object 1', $2, $3, '', 'the body is no request')
"""
WAITING = "SELECT count(*) FROM outbox"


@dataclass
class Scene:
    """A service's admin routes over a real database, and what its handlers saw."""

    database: Database
    operator: httpx.AsyncClient
    admin: httpx.AsyncClient
    handled: list[str] = field(default_factory=list)
    announced_since: list[datetime | None] = field(default_factory=list)

    async def put_letter(self, value: bytes) -> UUID:
        envelope = Envelope(id=new_event_id(), type=RequestSubmitted.event_type, source="shop", time=NOW)
        texts = [*envelope.to_headers(), ("x-api-key", b"s3cr3t-value-123456")]
        headers = [(name, base64.b64encode(text).decode()) for name, text in texts]
        letter_id = uuid4()
        async with self.database.acquire() as connection:
            await connection.execute(PUT_LETTER, letter_id, value, json.dumps(headers))
        return letter_id


@pytest.fixture
async def scene(ingest_database: ServiceDatabase) -> AsyncIterator[Scene]:
    database = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    operator, admin = new_api_key(), new_api_key()
    org_id = uuid4()
    async with database.transaction() as connection:
        for key, role, org in ((operator, Role.SUPER_ADMIN, None), (admin, Role.ADMIN, org_id)):
            identity = ApiKey(
                key_id=uuid4(),
                org_id=org,
                name="k",
                role=role,
                key_hash=key.key_hash,
                hint=key.hint,
                expires_at=None,
                revoked_at=None,
                created_at=NOW,
            )
            await apply_identity(connection, identity, 1)
        await apply_identity(connection, Organization(org_id=org_id, name="o", active=True, created_at=NOW), 1)

    async def count_nothing(_: Database) -> dict[str, int]:
        return {"counted": 0}

    scheduler = Scheduler(database, [Job("tidy", count_nothing, interval_seconds=60)], "this test")
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO jobs (name, next_run_at) VALUES ('tidy', $1)", NOW)

    async def reannounce(connection: Connection, since: datetime | None) -> int:
        made.announced_since.append(since)
        await append(
            connection,
            topic="requests",
            key="again",
            event=RequestSubmitted(kind="api_request", org_id=org_id, payload={}),
            source="ingest",
            org_id=org_id,
        )
        return 1

    async def on_requests(_: Connection, messages: Sequence[Message]) -> None:
        made.handled.extend(message.envelope.id for message in messages)

    deps = AdminDeps(
        service="ingest",
        database=database,
        scheduler=scheduler,
        routes=[Route("requests", (RequestSubmitted,), on_requests)],
        reannounce={"ingest.identities": reannounce},
        parked_max_attempts=20,
    )
    app = create_app("ingest", routers=[admin_router(deps)], health=Health(), authenticator=Authenticator(database))
    async with client_of(app, key=operator.text) as by_operator, client_of(app, key=admin.text) as by_admin:
        made = Scene(database, by_operator, by_admin)
        yield made
    await database.close()


@pytest.mark.parametrize("path", ["/admin/outbox", "/admin/dead-letters", "/admin/jobs"])
async def test_only_the_bus_own_operators_may_look(scene: Scene, path: str) -> None:
    problem_of(await scene.admin.get(path), 403, "operators_only")
    assert (await scene.operator.get(path)).status_code == 200
    problem_of(await scene.operator.get(path, headers={"Authorization": ""}), 401, "unauthenticated")


async def test_the_outbox_says_what_waits_and_for_how_long(scene: Scene) -> None:
    assert (await scene.operator.get("/admin/outbox")).json()["pending_rows"] == 0
    await scene.operator.post("/admin/topics/reannounce", json={"everything": True})
    state = (await scene.operator.get("/admin/outbox")).json()
    assert (state["service"], state["pending_rows"], state["blocked_keys"]) == ("ingest", 1, [])
    assert state["topics"][0]["topic"] == "requests"
    assert 0 <= state["oldest_age_seconds"] < 60


async def test_a_dead_letter_is_shown_without_its_secrets(scene: Scene) -> None:
    letter_id = await scene.put_letter(b'{"access_token": "EAAGm0PX4ZCpsBAKZBZC", "x": \xff}')
    (listed,) = (await scene.operator.get("/admin/dead-letters")).json()
    assert (listed["id"], listed["topic"], listed["offset"], listed["key"]) == (
        str(letter_id),
        "requests",
        42,
        "object 1",
    )
    whole = (await scene.operator.get(f"/admin/dead-letters/{letter_id}")).json()
    assert "[redacted]" in whole["value"]
    assert "EAAG" not in json.dumps(whole)
    assert ["ce_source", "shop"] in whole["headers"]
    assert ["x-api-key", "[redacted]"] in whole["headers"]


async def test_a_dry_run_changes_nothing(scene: Scene) -> None:
    body = RequestSubmitted(kind="api_request", org_id=uuid4(), payload={}).model_dump_json().encode()
    letter_id = await scene.put_letter(body)
    for path, content in (
        (f"/admin/dead-letters/{letter_id}/redrive", None),
        (f"/admin/dead-letters/{letter_id}/drop", {"reason": "not needed"}),
        ("/admin/jobs/tidy/run", None),
        ("/admin/jobs/tidy/pause", None),
        ("/admin/topics/reannounce", {}),
    ):
        answer = await scene.operator.post(path, params={"dry_run": True}, json=content)
        assert answer.is_success, answer.text
        assert answer.json()["dry_run"] is True
    assert (await scene.operator.get(f"/admin/dead-letters/{letter_id}")).json()["status"] == "open"
    assert (await scene.operator.get("/admin/jobs/tidy/runs")).json() == []
    assert (await scene.operator.get("/admin/jobs")).json()[0]["paused"] is False
    async with scene.database.acquire() as connection:
        assert await connection.fetchval(WAITING) == 0


async def test_a_mended_contract_lets_a_dead_letter_through_under_its_own_id(scene: Scene) -> None:
    body = RequestSubmitted(kind="api_request", org_id=uuid4(), payload={}).model_dump_json().encode()
    letter_id = await scene.put_letter(body)
    path = f"/admin/dead-letters/{letter_id}/redrive"
    assert (await scene.operator.post(path)).json()["dry_run"] is False
    assert len(scene.handled) == 1
    assert (await scene.operator.get(f"/admin/dead-letters/{letter_id}")).json()["status"] == "redriven"
    problem_of(await scene.operator.post(path), 409, "cannot_redrive")
    assert (await scene.operator.get("/admin/dead-letters")).json() == []


async def test_only_a_redrive_that_was_committed_is_counted(scene: Scene) -> None:
    def handled() -> float:
        labels = {"topic": "requests", "outcome": "handled", "type": RequestSubmitted.event_type}
        return REGISTRY.get_sample_value("events_processed_total", labels) or 0.0

    body = RequestSubmitted(kind="api_request", org_id=uuid4(), payload={}).model_dump_json().encode()
    path = f"/admin/dead-letters/{await scene.put_letter(body)}/redrive"
    before = handled()
    assert (await scene.operator.post(path, params={"dry_run": True})).is_success
    assert handled() == before
    assert (await scene.operator.post(path)).is_success
    assert handled() == before + 1


async def test_a_letter_that_still_does_not_fit_stays_open(scene: Scene) -> None:
    letter_id = await scene.put_letter(b"{")
    document = problem_of(await scene.operator.post(f"/admin/dead-letters/{letter_id}/redrive"), 409, "cannot_redrive")
    assert "does not fit" in document["detail"]
    assert (await scene.operator.get(f"/admin/dead-letters/{letter_id}")).json()["status"] == "open"


async def test_a_dropped_letter_keeps_its_reason(scene: Scene) -> None:
    letter_id = await scene.put_letter(b"{")
    path = f"/admin/dead-letters/{letter_id}/drop"
    problem_of(await scene.operator.post(path, json={"reason": ""}), 422, "invalid")
    assert (await scene.operator.post(path, json={"reason": "a test of theirs"})).is_success
    whole = (await scene.operator.get(f"/admin/dead-letters/{letter_id}")).json()
    assert (whole["status"], whole["note"]) == ("dropped", "a test of theirs")
    problem_of(await scene.operator.post(path, json={"reason": "again"}), 409, "already_ended")


async def test_an_edited_letter_goes_through_and_keeps_what_it_was_and_who_changed_it(scene: Scene) -> None:
    letter_id = await scene.put_letter(b'{"access_token": "EAAGm0PX4ZCpsBAKZBZC"')
    path = f"/admin/dead-letters/{letter_id}"
    broken = problem_of(await scene.operator.patch(path, json={"value": "{"}), 409, "cannot_edit")
    assert "does not fit" in broken["detail"]
    copied = problem_of(await scene.operator.patch(path, json={"value": '{"a": "[redacted]"}'}), 409, "cannot_edit")
    assert "a secret was left out" in copied["detail"]
    body = RequestSubmitted(kind="api_request", org_id=uuid4(), payload={}).model_dump_json()
    assert (await scene.operator.patch(path, params={"dry_run": True}, json={"value": body})).is_success
    assert (await scene.operator.get(path)).json()["edited_at"] is None
    assert (await scene.operator.patch(path, json={"value": body})).is_success
    assert (await scene.operator.post(f"{path}/redrive")).is_success
    whole = (await scene.operator.get(path)).json()
    assert (whole["status"], whole["value"]) == ("redriven", body)
    assert whole["original_value"].startswith('{"access_token": "[redacted]')
    assert [action["action"] for action in whole["actions"]] == ["edit", "redrive"]
    assert all(action["actor"].startswith("key ") for action in whole["actions"])


async def test_a_job_is_run_by_hand_and_paused(scene: Scene) -> None:
    asked = await scene.operator.post("/admin/jobs/tidy/run")
    assert asked.status_code == 202
    run: dict[str, Any] = (await scene.operator.get(f"/admin/job-runs/{asked.json()['count']}")).json()
    assert (run["job_name"], run["trigger"], run["ended_at"]) == ("tidy", "manual", None)
    await scene.operator.post("/admin/jobs/tidy/pause")
    assert (await scene.operator.get("/admin/jobs")).json()[0]["paused"] is True
    await scene.operator.post("/admin/jobs/tidy/resume")
    assert (await scene.operator.get("/admin/jobs")).json()[0]["paused"] is False


async def test_reannouncing_takes_what_changed_lately_unless_all_is_asked_for(scene: Scene) -> None:
    await scene.operator.post("/admin/topics/reannounce", json={"topic": "ingest.identities"})
    await scene.operator.post("/admin/topics/reannounce", json={"everything": True})
    recent, everything = scene.announced_since
    assert recent is not None
    assert everything is None


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"/admin/dead-letters/{uuid4()}", None),
        ("PATCH", f"/admin/dead-letters/{uuid4()}", {"value": "{}"}),
        ("POST", f"/admin/dead-letters/{uuid4()}/redrive", None),
        ("POST", f"/admin/dead-letters/{uuid4()}/drop", {"reason": "whatever"}),
        ("POST", "/admin/jobs/cook/run", None),
        ("POST", "/admin/jobs/cook/pause", None),
        ("GET", "/admin/jobs/cook/runs", None),
        ("GET", "/admin/job-runs/99", None),
        ("POST", "/admin/topics/reannounce", {"topic": "assets.connections"}),
    ],
)
async def test_what_does_not_exist_is_404(scene: Scene, method: str, path: str, body: Any) -> None:
    problem_of(await scene.operator.request(method, path, json=body), 404, "not_found")
