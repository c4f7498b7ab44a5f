from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from libs.vocabulary import Role
from tests.support.asgi import client_of, problem_of
from tests.support.databases import Databases
from tests.support.ingest import Ingest, IngestServer, an_ingest_server

pytestmark = pytest.mark.db


@pytest.fixture(scope="module")
async def server(databases: Databases) -> AsyncIterator[IngestServer]:
    async with an_ingest_server(databases) as made:
        yield made


@pytest.fixture
async def ingest(server: IngestServer) -> Ingest:
    return await server.fresh()


@pytest.fixture
async def operator(ingest: Ingest) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(ingest.app(), key=ingest.operator_key) as made:
        yield made


@pytest.fixture
async def administrator(ingest: Ingest) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(ingest.app(), key=ingest.keys[Role.ADMIN]) as made:
        yield made


async def test_an_operator_sets_up_an_organization_that_can_ask(ingest: Ingest, operator: httpx.AsyncClient) -> None:
    organization = (await operator.post("/v1/organizations", json={"name": "New"})).json()
    body = {"name": "crm", "role": "api_user", "org_id": organization["org_id"]}
    made = await operator.post("/v1/keys", json=body)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"

    async with client_of(ingest.app(), key=made.json()["key"]) as client:
        assert (await client.get("/v1/requests")).json() == {"items": [], "next_cursor": None}

    listed = (await operator.get("/v1/organizations")).json()["items"]
    assert {item["name"] for item in listed} == {"Example Music", "New"}


async def test_the_header_names_the_organization_of_a_new_key_too(ingest: Ingest, operator: httpx.AsyncClient) -> None:
    headers = {"X-Organization-Id": str(ingest.org_id)}
    made = await operator.post("/v1/keys", json={"name": "a", "role": "editor"}, headers=headers)
    assert made.json()["org_id"] == str(ingest.org_id)
    own = await operator.post("/v1/keys", json={"name": "b", "role": "super_admin", "org_id": None}, headers=headers)
    assert own.json()["org_id"] is None
    some = (await operator.get("/v1/keys", headers=headers)).json()["items"]
    every = (await operator.get("/v1/keys")).json()["items"]
    assert (len(some), len(every)) == (len(ingest.keys) + 1, len(ingest.keys) + 3)


async def test_an_administrator_makes_and_revokes_keys_of_its_own_organization(
    ingest: Ingest, administrator: httpx.AsyncClient
) -> None:
    made = (await administrator.post("/v1/keys", json={"name": "crm", "role": "api_user"})).json()
    async with client_of(ingest.app(), key=made["key"]) as client:
        assert (await client.get("/v1/requests")).status_code == 200
        revoked = await administrator.post(f"/v1/keys/{made['key_id']}/revoke")
        assert revoked.json()["revoked_at"] is not None
        problem_of(await client.get("/v1/requests"), 401, "unauthenticated")
    listed = (await administrator.get("/v1/keys")).json()["items"]
    assert {item["name"] for item in listed} == {"crm", *(role.value for role in ingest.keys)}
    assert not any("key" in item or "key_hash" in item for item in listed)
    log = (await administrator.get("/v1/audit-log")).json()["items"]
    assert [entry["action"] for entry in log[:2]] == ["key.revoked", "key.created"]
    assert log[0]["subject"] == made["key_id"]


async def test_a_dry_run_shows_no_key_and_makes_none(ingest: Ingest, operator: httpx.AsyncClient) -> None:
    body = {"name": "crm", "role": "super_admin"}
    answer = await operator.post("/v1/keys?dry_run=true", json=body)
    assert (answer.status_code, answer.json()["key"]) == (201, None)
    await operator.post("/v1/organizations?dry_run=true", json={"name": "New"})
    await operator.put("/v1/producers/x?dry_run=true", json={"org_ids": [], "kinds": ["api_request"]})
    await operator.patch(f"/v1/organizations/{ingest.org_id}?dry_run=true", json={"active": False})
    assert await ingest.outbox("ingest.identities") == []
    assert len((await operator.get("/v1/keys")).json()["items"]) == len(ingest.keys) + 1


async def test_a_producer_may_have_slashes_in_its_name(operator: httpx.AsyncClient) -> None:
    body: dict[str, Any] = {"org_ids": [], "kinds": ["api_request"]}
    assert (await operator.put("/v1/producers//shop/orders", json=body)).json()["source"] == "/shop/orders"
    assert (await operator.post("/v1/producers", json=body | {"source": "crm-2"})).status_code == 201
    listed = (await operator.get("/v1/producers")).json()["items"]
    assert [item["source"] for item in listed] == ["/shop/orders", "crm", "crm-2"]


async def test_closing_an_organization_ends_its_keys_at_once(
    ingest: Ingest, operator: httpx.AsyncClient, administrator: httpx.AsyncClient
) -> None:
    assert (await administrator.get("/v1/keys")).status_code == 200
    changed = await operator.patch(f"/v1/organizations/{ingest.org_id}", json={"active": False})
    assert changed.json()["active"] is False
    problem_of(await administrator.get("/v1/keys"), 401, "unauthenticated")


async def test_the_audit_log_pages(operator: httpx.AsyncClient) -> None:
    first = (await operator.get("/v1/audit-log", params={"limit": 2})).json()
    rest = (await operator.get("/v1/audit-log", params={"cursor": first["next_cursor"]})).json()
    ids = [entry["id"] for entry in first["items"] + rest["items"]]
    assert ids == sorted(ids, reverse=True)
    assert rest["next_cursor"] is None


OPERATORS_ONLY = [
    ("GET", "/v1/organizations", None),
    ("POST", "/v1/organizations", {"name": "x"}),
    ("PATCH", f"/v1/organizations/{uuid4()}", {"active": False}),
    ("GET", "/v1/producers", None),
    ("POST", "/v1/producers", {"source": "x", "org_ids": [], "kinds": ["api_request"]}),
    ("PUT", "/v1/producers/x", {"org_ids": [], "kinds": ["api_request"]}),
]


async def test_what_concerns_all_organizations_is_for_operators_only(administrator: httpx.AsyncClient) -> None:
    for method, path, body in OPERATORS_ONLY:
        problem_of(await administrator.request(method, path, json=body), 403, "operators_only")


async def test_keys_and_the_audit_log_are_for_administrators_only(ingest: Ingest) -> None:
    for role in (Role.EDITOR, Role.ANALYST, Role.API_USER, Role.ARTIST):
        async with client_of(ingest.app(), key=ingest.keys[role]) as client:
            problem_of(await client.get("/v1/keys"), 403, "role_missing")
            problem_of(await client.post("/v1/keys", json={"name": "x", "role": "artist"}), 403, "role_missing")
            problem_of(await client.post(f"/v1/keys/{uuid4()}/revoke"), 403, "role_missing")
            problem_of(await client.get("/v1/audit-log"), 403, "role_missing")


async def test_what_cannot_be_made_is_refused_with_its_place(
    ingest: Ingest, operator: httpx.AsyncClient, administrator: httpx.AsyncClient
) -> None:
    strongest = await administrator.post("/v1/keys", json={"name": "x", "role": "super_admin"})
    assert problem_of(strongest, 422, "invalid")["errors"][0]["where"] == "/role"
    foreign = await administrator.post("/v1/keys", json={"name": "x", "role": "admin", "org_id": str(uuid4())})
    problem_of(foreign, 403, "organization_not_allowed")
    nobody = await operator.post("/v1/keys", json={"name": "x", "role": "admin", "org_id": str(uuid4())})
    problem_of(nobody, 404, "organization_unknown")
    unknown = await operator.post("/v1/keys", json={"name": "x", "role": "king"})
    assert problem_of(unknown, 422, "invalid")["errors"][0]["where"] == "/role"
    late = {"name": "x", "role": "admin", "expires_at": "2001-01-01T00:00:00Z"}
    assert problem_of(await administrator.post("/v1/keys", json=late), 422, "invalid")["errors"][0]["where"] == (
        "/expires_at"
    )
    taken = await operator.post("/v1/organizations", json={"name": "x", "org_id": str(ingest.org_id)})
    problem_of(taken, 409, "organization_exists")
    missing = await operator.patch(f"/v1/organizations/{uuid4()}", json={"active": True})
    problem_of(missing, 404, "not_found")
    reserved = await operator.put("/v1/producers/key:1", json={"org_ids": [], "kinds": ["api_request"]})
    assert problem_of(reserved, 422, "invalid")["errors"][0]["where"] == "path:source"
    problem_of(await operator.post(f"/v1/keys/{uuid4()}/revoke"), 404, "not_found")
