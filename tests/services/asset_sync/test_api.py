"""Connections over HTTP: what is kept, published, shown; and every refusal."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from libs.events.assets_connections import Connection as ConnectionState
from libs.platforms.base import TokenFacts
from libs.platforms.errors import (
    AuthExpired,
    ContractBroken,
    OutcomeUnknown,
    PermissionMissing,
    PlatformError,
    RateLimited,
    Rejected,
    Unavailable,
)
from libs.vocabulary import PlatformName, Role
from tests.support.asgi import problem_of
from tests.support.asset_sync import GOOD, TOKEN, World, body, world
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db
META = PlatformName.META


@pytest.fixture
async def w(asset_sync_database: ServiceDatabase, tmp_path: Path) -> AsyncIterator[World]:
    async with world(asset_sync_database, tmp_path) as made:
        yield made


def facts(**changes: Any) -> TokenFacts:
    values = {name: getattr(GOOD, name) for name in GOOD.__slots__} | changes
    return TokenFacts(**values)


def in_days(days: float) -> int:
    return round((datetime.now(UTC) + timedelta(days=days)).timestamp())


async def test_a_connection_is_sealed_kept_published_and_audited_together(w: World) -> None:
    answer = await w.http.post("/v1/connections", json=body())
    assert answer.status_code == 201
    shown = answer.json()
    assert answer.headers["location"] == f"/v1/connections/{shown['id']}"
    assert TOKEN not in answer.text
    assert shown["token_hint"] == TOKEN[-4:]
    assert (shown["status"], shown["version"], shown["scopes"]) == ("healthy", 1, ["ads_read", "pages_read"])
    assert (shown["owner_user_id"], shown["token_kind"], shown["kek_id"]) == ("77", "user", "first")
    assert w.opened(await w.sealed(shown["id"]), shown["id"]) == TOKEN
    (event,) = await w.published()
    assert (event["aggregatetype"], event["type"], event["version"]) == ("assets.connections", "connection.v1", 1)
    assert event["aggregateid"] == f"{w.org_id}/{shown['id']}"
    assert (event["org_id"], event["subject"]) == (w.org_id, shown["id"])
    state = ConnectionState.model_validate(event["payload"])
    assert w.opened(state.sealed_access_token, shown["id"]) == TOKEN
    (audit,) = await w.rows("SELECT org_id, action, subject, details, actor_role FROM audit_log")
    assert (audit["org_id"], audit["action"], audit["subject"]) == (w.org_id, "connection.added", shown["id"])
    assert TOKEN not in audit["details"]
    assert w.tokens.asked[0].access_token == TOKEN


async def test_a_connection_can_be_shown_and_listed_in_parts(w: World) -> None:
    made = [(await w.add(name=f"connection {number}"))["id"] for number in range(3)]
    shown = await w.http.get(f"/v1/connections/{made[0]}")
    assert shown.json()["name"] == "connection 0"
    first = (await w.http.get("/v1/connections", params={"limit": 2})).json()
    rest = (await w.http.get("/v1/connections", params={"limit": 2, "after": first["next_after"]})).json()
    assert sorted(made) == [each["id"] for each in first["connections"] + rest["connections"]]
    assert rest["next_after"] is None


async def test_the_list_can_be_narrowed(w: World) -> None:
    w.tokens.answer = facts(expires_at_unix=in_days(3))
    soon = await w.add(name="soon")
    w.tokens.answer = facts(expires_at_unix=in_days(300))
    await w.add(name="later")
    assert soon["status"] == "expiring"
    for params in ({"expiring_within_days": 7}, {"status": "expiring"}):
        listed = (await w.http.get("/v1/connections", params=params)).json()["connections"]
        assert [each["id"] for each in listed] == [soon["id"]]
    assert len((await w.http.get("/v1/connections", params={"platform": "meta"})).json()["connections"]) == 2


async def test_the_same_idempotency_key_makes_one_connection(w: World) -> None:
    headers = {"Idempotency-Key": "k-1"}
    made = await w.add(headers=headers)
    again = await w.http.post("/v1/connections", json=body(), headers=headers)
    assert again.status_code == 200
    assert again.json() == made | {"duplicate": True}
    assert len(w.tokens.asked) == 1
    assert len(await w.published()) == 1


async def test_requests_with_one_idempotency_key_at_the_same_time_make_one_connection(w: World) -> None:
    headers = {"Idempotency-Key": "k-1"}
    answers = await asyncio.gather(*(w.http.post("/v1/connections", json=body(), headers=headers) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await w.published()) == 1


@pytest.mark.parametrize("change", [{"name": "other"}, {"access_token": TOKEN + "x"}, {"app_id": None}])
async def test_an_idempotency_key_with_another_body_is_refused(w: World, change: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": "k-1"}
    await w.add(headers=headers)
    answer = await w.http.post("/v1/connections", json=body(**change), headers=headers)
    document = problem_of(answer, 422, "idempotency_key_reused")
    assert document["errors"][0]["where"] == "header:Idempotency-Key"


async def test_an_idempotency_key_of_a_deleted_connection_says_so(w: World) -> None:
    headers = {"Idempotency-Key": "k-1"}
    made = await w.add(headers=headers)
    await w.http.delete(f"/v1/connections/{made['id']}", params={"forget": True})
    answer = await w.http.post("/v1/connections", json=body(), headers=headers)
    problem_of(answer, 409, "connection_deleted")


async def test_an_idempotency_key_is_the_organizations_own(w: World) -> None:
    headers = {"Idempotency-Key": "k-1"}
    await w.add(headers=headers)
    async with await w.client(Role.ADMIN, uuid4()) as other:
        answer = await other.post("/v1/connections", json=body(name="theirs"), headers=headers)
    assert answer.status_code == 201


async def test_a_dry_run_checks_everything_and_keeps_nothing(w: World) -> None:
    answer = await w.http.post("/v1/connections", json=body(), params={"dry_run": True})
    assert answer.status_code == 200
    assert answer.json()["dry_run"] is True
    assert len(w.tokens.asked) == 1
    assert await w.published() == []
    assert (await w.http.get("/v1/connections")).json()["connections"] == []


async def test_a_replaced_token_raises_the_version_and_is_published(w: World) -> None:
    made = await w.add()
    newer = TOKEN + "Newer"
    answer = await w.http.post(f"/v1/connections/{made['id']}/token", json={"access_token": newer})
    assert answer.status_code == 200
    assert answer.json()["version"] == 2
    assert w.tokens.asked[1].app_id == "1001"
    assert w.opened(await w.sealed(made["id"]), made["id"]) == newer
    states = await w.published()
    assert [state["version"] for state in states] == [1, 2]
    assert w.opened(ConnectionState.model_validate(states[1]["payload"]).sealed_access_token, made["id"]) == newer


async def test_a_token_of_another_user_does_not_take_a_connection_over(w: World) -> None:
    made = await w.add()
    w.tokens.answer = facts(owner_id="88")
    answer = await w.http.post(f"/v1/connections/{made['id']}/token", json={"access_token": TOKEN + "x"})
    problem_of(answer, 422, "token_of_another_user")
    assert len(await w.published()) == 1


async def test_a_disconnected_connection_keeps_no_token_anywhere(w: World) -> None:
    made = await w.add()
    answer = await w.http.delete(f"/v1/connections/{made['id']}")
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["status"], shown["version"], shown["token_hint"]) == ("disconnected", 2, "")
    assert w.opened(await w.sealed(made["id"]), made["id"]) == ""
    state = ConnectionState.model_validate((await w.published())[1]["payload"])
    assert state.status == "disconnected"
    assert w.opened(state.sealed_access_token, made["id"]) == ""
    again = await w.http.delete(f"/v1/connections/{made['id']}")
    assert again.json() == shown
    assert len(await w.published()) == 2
    refused = await w.http.post(f"/v1/connections/{made['id']}/token", json={"access_token": TOKEN})
    problem_of(refused, 409, "connection_disconnected")


async def test_a_forgotten_connection_ends_with_a_tombstone(w: World) -> None:
    made = await w.add()
    answer = await w.http.delete(f"/v1/connections/{made['id']}", params={"forget": True})
    assert answer.json() == {
        "id": made["id"], "org_id": str(w.org_id), "version": 2, "deleted": True, "dry_run": False,
    }  # fmt: skip
    tombstone = (await w.published())[1]
    assert (tombstone["payload"], tombstone["type"], tombstone["version"]) == (None, "connection.v1", 2)
    problem_of(await w.http.get(f"/v1/connections/{made['id']}"), 404, "connection_unknown")
    problem_of(await w.http.delete(f"/v1/connections/{made['id']}?forget=true"), 404, "connection_unknown")


async def test_another_organizations_connection_does_not_exist(w: World) -> None:
    made = await w.add()
    path = f"/v1/connections/{made['id']}"
    async with await w.client(Role.ADMIN, uuid4()) as other:
        assert (await other.get("/v1/connections")).json()["connections"] == []
        problem_of(await other.get(path), 404, "connection_unknown")
        problem_of(await other.delete(path), 404, "connection_unknown")
        problem_of(await other.delete(path, params={"forget": True}), 404, "connection_unknown")
        problem_of(await other.post(f"{path}/token", json={"access_token": TOKEN}), 404, "connection_unknown")
    assert len(await w.published()) == 1


@pytest.mark.parametrize("role", [Role.EDITOR, Role.ANALYST, Role.API_USER, Role.ARTIST])
async def test_roles_below_admin_read_and_change_nothing(w: World, role: Role) -> None:
    made = await w.add()
    path = f"/v1/connections/{made['id']}"
    async with await w.client(role) as http:
        assert (await http.get(path)).status_code == 200
        assert (await http.get("/v1/connections")).status_code == 200
        for answer in (
            await http.post("/v1/connections", json=body()),
            await http.post(f"{path}/token", json={"access_token": TOKEN}),
            await http.delete(path),
        ):
            assert problem_of(answer, 403, "role_missing")["errors"][0]["how"].endswith("admin")
        problem_of(await http.post("/v1/connections:reseal"), 403, "operators_only")
    assert len(await w.published()) == 1


async def test_an_operators_key_names_the_organization_it_acts_for(w: World) -> None:
    async with await w.client(Role.SUPER_ADMIN, of_operator=True) as operator:
        problem_of(await operator.post("/v1/connections", json=body()), 400, "organization_required")
        headers = {"X-Organization-Id": str(w.org_id)}
        answer = await operator.post("/v1/connections", json=body(), headers=headers)
    assert answer.status_code == 201
    assert answer.json()["org_id"] == str(w.org_id)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"platform": "myspace"}, "/platform"),
        ({"platform": None}, "/platform"),
        ({"name": ""}, "/name"),
        ({"name": "   "}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": "x" * 201}, "/name"),
        ({"access_token": "short"}, "/access_token"),
        ({"access_token": "x" * 8_193}, "/access_token"),
        ({"access_token": "with space inside"}, "/access_token"),
        ({"access_token": "line\r\nbreak: injected"}, "/access_token"),
        ({"access_token": ["a", "list"]}, "/access_token"),
        ({"app_id": "../1001"}, "/app_id"),
        ({"acces_token": "misspelt"}, "/acces_token"),
        ({"status": "healthy"}, "/status"),
    ],
)
async def test_a_body_that_breaks_a_rule_says_where_and_never_repeats_it(
    w: World, change: dict[str, Any], where: str
) -> None:
    answer = await w.http.post("/v1/connections", json=body(**change))
    document = problem_of(answer, 422, "invalid")
    assert [error["where"] for error in document["errors"]] == [where]
    assert all(error["how"] for error in document["errors"])
    assert TOKEN not in answer.text
    assert "injected" not in answer.text
    assert w.tokens.asked == []


@pytest.mark.parametrize("key", ["", "x" * 201, "with space"])
async def test_a_malformed_idempotency_key_is_refused(w: World, key: str) -> None:
    answer = await w.http.post("/v1/connections", json=body(), headers={"Idempotency-Key": key})
    assert problem_of(answer, 422, "invalid")["errors"][0]["where"] == "header:Idempotency-Key"


@pytest.mark.parametrize(
    ("answer", "status", "slug", "where"),
    [
        (facts(valid=False), 422, "token_refused", "/access_token"),
        (facts(expires_at_unix=in_days(-1)), 422, "token_refused", "/access_token"),
        (facts(app_id="2002"), 422, "token_of_another_app", "/app_id"),
        (AuthExpired(META, "debug_token", "expired"), 422, "token_refused", "/access_token"),
        (PermissionMissing(META, "debug_token", "missing"), 422, "token_refused", "/access_token"),
        (Rejected(META, "debug_token", "no secret of app 1001 is configured"), 422, "token_not_checked", "/app_id"),
        (facts(expires_at_unix=10**18), 502, "platform_answer_broken", None),
        (ContractBroken(META, "debug_token", "no data"), 502, "platform_answer_broken", None),
        (Unavailable(META, "debug_token", "HTTP 500"), 503, "platform_unavailable", None),
        (OutcomeUnknown(META, "debug_token", "time-out"), 503, "platform_unavailable", None),
    ],
)
async def test_a_token_that_the_platform_does_not_vouch_for_is_not_kept(
    w: World, answer: TokenFacts | PlatformError, status: int, slug: str, where: str | None
) -> None:
    w.tokens.answer = answer
    refused = await w.http.post("/v1/connections", json=body(), headers={"Idempotency-Key": "k-1"})
    document = problem_of(refused, status, slug)
    assert [error["where"] for error in document["errors"]] == ([where] if where else [])
    assert ("retry-after" in refused.headers) == (status == 503)
    assert TOKEN not in refused.text
    assert await w.published() == []
    w.tokens.answer = GOOD
    assert (await w.http.post("/v1/connections", json=body(), headers={"Idempotency-Key": "k-1"})).status_code == 201


async def test_a_throttled_platform_says_when_to_come_again(w: World) -> None:
    w.tokens.answer = RateLimited(META, "debug_token", "too many calls", retry_after_seconds=42.4)
    refused = await w.http.post("/v1/connections", json=body())
    problem_of(refused, 503, "platform_unavailable")
    assert refused.headers["retry-after"] == "42"


@pytest.mark.parametrize("path", ["/v1/connections/not-a-uuid", f"/v1/connections/{UUID(int=0)}"])
async def test_an_id_that_names_nothing_is_refused(w: World, path: str) -> None:
    answer = await w.http.get(path)
    slug = "connection_unknown" if path.endswith("0") else "invalid"
    assert problem_of(answer, 404 if path.endswith("0") else 422, slug)["errors"][0]["where"] == "path:connection_id"


async def test_without_a_key_nothing_is_answered(w: World) -> None:
    transport = httpx.ASGITransport(app=w.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service.test") as http:
        for answer in (
            await http.get("/v1/connections"),
            await http.post("/v1/connections", json=body()),
            await http.get("/v1/connections", headers={"Authorization": "Bearer pbk_wrong"}),
        ):
            problem_of(answer, 401, "unauthenticated")
