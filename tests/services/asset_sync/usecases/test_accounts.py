"""Accounts of a connection: who may name them, which ones, and what is published."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from libs.events.assets_connections import Connection as ConnectionState
from libs.vocabulary import AccountRef, Role
from services.asset_sync.usecases.upkeep import announce_again
from tests.support.asgi import problem_of
from tests.support.asset_sync import World, body, world
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db

PAGE = {"type": "page", "id": "153125381133"}
ADS = {"type": "ad_account", "id": "act_4711"}


@pytest.fixture
async def w(asset_sync_database: ServiceDatabase, tmp_path: Path) -> AsyncIterator[World]:
    async with world(asset_sync_database, tmp_path) as made:
        yield made


@pytest.fixture
async def operator(w: World) -> AsyncIterator[httpx.AsyncClient]:
    async with await w.client(Role.SUPER_ADMIN, of_operator=True) as client:
        client.headers["X-Organization-Id"] = str(w.org_id)
        yield client


async def states(w: World) -> list[ConnectionState]:
    return [ConnectionState.model_validate(event["payload"]) for event in await w.published()]


async def test_accounts_that_an_operator_names_are_shown_published_and_audited(
    w: World, operator: httpx.AsyncClient
) -> None:
    answer = await operator.post("/v1/connections", json=body(accounts=[PAGE, ADS, PAGE]))
    assert answer.status_code == 201
    assert answer.json()["accounts"] == [PAGE, ADS]
    (state,) = await states(w)
    assert state.accounts == (AccountRef("page", "153125381133"), AccountRef("ad_account", "act_4711"))
    assert state.created_at is not None
    assert state.created_at.isoformat() == answer.json()["created_at"].replace("Z", "+00:00")
    shown = (await w.http.get(f"/v1/connections/{answer.json()['id']}")).json()
    assert shown["accounts"] == [PAGE, ADS]
    (audit,) = await w.rows("SELECT details FROM audit_log")
    assert '"accounts": ["page:153125381133", "ad_account:act_4711"]' in audit["details"]


async def test_accounts_are_replaced_as_a_whole_and_the_token_stays(w: World, operator: httpx.AsyncClient) -> None:
    made = (await operator.post("/v1/connections", json=body(accounts=[PAGE]))).json()
    sealed = await w.sealed(made["id"])
    answer = await operator.put(f"/v1/connections/{made['id']}/accounts", json={"accounts": [ADS]})
    assert answer.status_code == 200
    assert (answer.json()["accounts"], answer.json()["version"]) == ([ADS], 2)
    assert answer.json()["updated_at"] > made["updated_at"]
    assert [state.accounts for state in await states(w)] == [
        (AccountRef("page", "153125381133"),),
        (AccountRef("ad_account", "act_4711"),),
    ]
    assert (await states(w))[1].sealed_access_token == sealed
    actions = await w.rows("SELECT action FROM audit_log ORDER BY id")
    assert [row["action"] for row in actions] == ["connection.added", "connection.accounts_replaced"]
    cleared = await operator.put(f"/v1/connections/{made['id']}/accounts", json={"accounts": []})
    assert cleared.json()["accounts"] == []


async def test_naming_the_same_accounts_again_changes_nothing(w: World, operator: httpx.AsyncClient) -> None:
    made = (await operator.post("/v1/connections", json=body(accounts=[PAGE, ADS]))).json()
    answer = await operator.put(f"/v1/connections/{made['id']}/accounts", json={"accounts": [PAGE, ADS]})
    assert answer.json()["version"] == 1
    assert len(await w.published()) == 1


async def test_two_who_replace_at_the_same_time_both_count_and_the_last_one_holds(
    w: World, operator: httpx.AsyncClient
) -> None:
    made = (await operator.post("/v1/connections", json=body())).json()
    path = f"/v1/connections/{made['id']}/accounts"
    answers = await asyncio.gather(*(operator.put(path, json={"accounts": [each]}) for each in (PAGE, ADS)))
    assert sorted(answer.json()["version"] for answer in answers) == [2, 3]
    last = max(answers, key=lambda answer: answer.json()["version"]).json()
    events = sorted(await w.published(), key=lambda event: event["version"])
    assert [event["version"] for event in events] == [1, 2, 3]
    assert events[-1]["payload"]["accounts"] == last["accounts"]


async def test_a_tenant_names_no_accounts_whatever_its_role(w: World) -> None:
    made = await w.add()
    for role in (Role.ADMIN, Role.SUPER_ADMIN):
        async with await w.client(role) as tenant:
            refused = await tenant.post("/v1/connections", json=body(accounts=[PAGE]))
            document = problem_of(refused, 403, "accounts_not_allowed")
            assert "operator" in document["errors"][0]["what"]
            for named in ([PAGE], []):
                refused = await tenant.put(f"/v1/connections/{made['id']}/accounts", json={"accounts": named})
                problem_of(refused, 403, "accounts_not_allowed")
    assert len(w.tokens.asked) == 1
    assert (await w.http.post("/v1/connections", json=body(accounts=[]))).status_code == 201


async def test_an_operator_reaches_only_the_organization_that_is_named(w: World, operator: httpx.AsyncClient) -> None:
    made = await w.add()
    other = uuid4()
    async with await w.client(Role.ADMIN, other):
        answer = await operator.put(
            f"/v1/connections/{made['id']}/accounts",
            json={"accounts": [PAGE]},
            headers={"X-Organization-Id": str(other)},
        )
    problem_of(answer, 404, "connection_unknown")
    assert (await w.http.get(f"/v1/connections/{made['id']}")).json()["accounts"] == []


@pytest.mark.parametrize(
    ("account", "where", "how"),
    [
        ({"type": "tiktok", "id": "1"}, "/accounts/1/type", "ad_account, business, catalog, instagram, page"),
        ({"type": "ad_account", "id": "4711"}, "/accounts/1/id", "ad_account:act_4711"),
        ({"type": "page", "id": "act_1"}, "/accounts/1/id", "page:"),
        ({"type": "page", "id": "1\n"}, "/accounts/1/id", "page:"),
        ({"type": "page", "id": "1" * 33}, "/accounts/1/id", "page:"),
    ],
)
async def test_an_account_that_the_platform_could_not_have_is_refused_with_place_and_remedy(
    w: World, operator: httpx.AsyncClient, account: dict[str, str], where: str, how: str
) -> None:
    made = await w.add()
    path = f"/v1/connections/{made['id']}/accounts"
    for answer in (
        await operator.post("/v1/connections", json=body(accounts=[PAGE, account])),
        await operator.put(path, json={"accounts": [PAGE, account]}),
    ):
        (error,) = problem_of(answer, 422, "accounts_unknown")["errors"]
        assert error["where"] == where
        assert how in error["how"]
    assert len(w.tokens.asked) == 1


@pytest.mark.parametrize("accounts", [None, "page:1", [{"type": "page"}], [PAGE | {"x": 1}], [PAGE] * 501])
async def test_a_list_of_another_shape_or_without_end_is_refused(
    w: World, operator: httpx.AsyncClient, accounts: Any
) -> None:
    made = await w.add()
    answer = await operator.put(f"/v1/connections/{made['id']}/accounts", json={"accounts": accounts})
    problem_of(answer, 422, "invalid")


async def test_a_disconnected_or_unknown_connection_gets_no_accounts(w: World, operator: httpx.AsyncClient) -> None:
    made = await w.add()
    await w.http.delete(f"/v1/connections/{made['id']}")
    answer = await operator.put(f"/v1/connections/{made['id']}/accounts", json={"accounts": [PAGE]})
    problem_of(answer, 409, "connection_disconnected")
    answer = await operator.put(f"/v1/connections/{uuid4()}/accounts", json={"accounts": [PAGE]})
    problem_of(answer, 404, "connection_unknown")


async def test_a_dry_run_shows_the_accounts_and_keeps_nothing(w: World, operator: httpx.AsyncClient) -> None:
    made = await w.add()
    path = f"/v1/connections/{made['id']}/accounts"
    answer = await operator.put(path, json={"accounts": [PAGE]}, params={"dry_run": True})
    assert (answer.json()["accounts"], answer.json()["dry_run"]) == ([PAGE], True)
    assert (await w.http.get(f"/v1/connections/{made['id']}")).json()["accounts"] == []
    assert len(await w.published()) == 1


async def test_an_idempotency_key_with_other_accounts_is_another_request(w: World, operator: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k-1"}
    made = await operator.post("/v1/connections", json=body(accounts=[PAGE]), headers=headers)
    again = await operator.post("/v1/connections", json=body(accounts=[PAGE]), headers=headers)
    assert again.json() == made.json() | {"duplicate": True}
    other = await operator.post("/v1/connections", json=body(accounts=[ADS]), headers=headers)
    problem_of(other, 422, "idempotency_key_reused")


async def test_what_is_announced_again_carries_accounts_and_age(w: World, operator: httpx.AsyncClient) -> None:
    made = (await operator.post("/v1/connections", json=body(accounts=[PAGE]))).json()
    async with w.worker.transaction() as conn:
        assert await announce_again(conn, None) == 1
    first, again = await states(w)
    assert again == first
    assert again.connection_id == UUID(made["id"])


async def test_a_replaced_token_keeps_the_accounts_and_a_disconnection_too(
    w: World, operator: httpx.AsyncClient
) -> None:
    made = (await operator.post("/v1/connections", json=body(accounts=[PAGE]))).json()
    renewed = await w.http.post(f"/v1/connections/{made['id']}/token", json={"access_token": "EAAanotherToken01"})
    assert renewed.json()["accounts"] == [PAGE]
    await w.http.delete(f"/v1/connections/{made['id']}")
    last = (await states(w))[-1]
    assert (last.status, last.accounts) == ("disconnected", (AccountRef("page", "153125381133"),))
