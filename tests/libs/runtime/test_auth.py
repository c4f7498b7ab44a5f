from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from fastapi import APIRouter, Depends, FastAPI

from libs.postgres import Connection, Database
from libs.runtime.auth import Authenticator, CallerDep, PrincipalDep, role_required
from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.security.api_keys import NewApiKey, new_api_key
from libs.vocabulary import Role
from tests.support.asgi import client_of, problem_of

ORG = uuid4()
OTHER_ORG = uuid4()
CLOSED_ORG = uuid4()
NOW = datetime.now(UTC)


class Identities(Database):
    """A database that knows some keys and organizations, and counts how often it is asked."""

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, Any]] = {}
        self.asked = 0

    def add(self, role: Role, org_id: UUID | None = ORG, **changes: Any) -> NewApiKey:
        key = new_api_key()
        self.keys[key.key_hash] = {
            "key_id": uuid4(),
            "org_id": org_id,
            "name": "a key",
            "role": role.value,
            "key_hash": key.key_hash,
            "hint": key.hint,
            "expires_at": None,
            "revoked_at": None,
            "created_at": NOW,
            "organization_active": True,
        } | changes
        return key

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        yield cast(Connection, self)

    async def fetchrow(self, query: str, value: Any) -> dict[str, Any] | None:
        self.asked += 1
        if isinstance(value, str):
            return self.keys.get(value)
        known = {ORG: True, OTHER_ORG: True, CLOSED_ORG: False}
        if value not in known:
            return None
        return {"org_id": value, "name": "an organization", "active": known[value], "created_at": NOW}


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def app_over(database: Identities, clock: Clock | None = None, **options: Any) -> FastAPI:
    router = APIRouter()

    @router.get("/me")
    async def get_me(principal: PrincipalDep) -> str:
        return principal.role.value

    @router.get("/caller")
    async def get_caller(caller: CallerDep) -> str:
        return str(caller.org_id)

    @router.get("/admin", dependencies=[Depends(role_required(Role.ADMIN))])
    async def get_admin() -> str:
        return "ok"

    authenticator = Authenticator(database, clock=clock or Clock(), **options)
    return create_app("testing", routers=[router], health=Health(), authenticator=authenticator)


@pytest.fixture
def database() -> Identities:
    return Identities()


async def test_a_known_key_is_let_in(database: Identities) -> None:
    key = database.add(Role.EDITOR)
    async with client_of(app_over(database), key=key.text) as client:
        assert (await client.get("/me")).json() == "editor"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer not-a-key", "pbk_x"])
async def test_no_key_or_a_malformed_one_is_401_with_a_challenge(database: Identities, header: str | None) -> None:
    async with client_of(app_over(database)) as client:
        response = await client.get("/me", headers={} if header is None else {"Authorization": header})
    problem_of(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"] == 'Bearer realm="platformbus"'
    assert database.asked == 0


@pytest.mark.parametrize(
    "changes",
    [{"revoked_at": NOW}, {"expires_at": NOW - timedelta(seconds=1)}, {"organization_active": False}],
)
async def test_a_key_that_is_over_is_401(database: Identities, changes: dict[str, Any]) -> None:
    key = database.add(Role.EDITOR, **changes)
    async with client_of(app_over(database), key=key.text) as client:
        problem_of(await client.get("/me"), 401, "unauthenticated")


async def test_a_key_that_nobody_made_is_401(database: Identities) -> None:
    async with client_of(app_over(database), key=new_api_key().text) as client:
        problem_of(await client.get("/me"), 401, "unauthenticated")


async def test_the_wrong_role_is_403_and_names_the_right_one(database: Identities) -> None:
    key = database.add(Role.ANALYST)
    async with client_of(app_over(database), key=key.text) as client:
        document = problem_of(await client.get("/admin"), 403, "role_missing")
    assert "admin" in document["errors"][0]["how"]


async def test_a_key_acts_for_its_own_organization_only(database: Identities) -> None:
    key = database.add(Role.EDITOR)
    async with client_of(app_over(database), key=key.text) as client:
        assert (await client.get("/caller")).json() == str(ORG)
        same = await client.get("/caller", headers={"X-Organization-Id": str(ORG)})
        assert same.json() == str(ORG)
        other = await client.get("/caller", headers={"X-Organization-Id": str(OTHER_ORG)})
        problem_of(other, 403, "organization_not_allowed")


async def test_a_platform_key_names_the_organization(database: Identities) -> None:
    key = database.add(Role.SUPER_ADMIN, None)
    async with client_of(app_over(database), key=key.text) as client:
        named = await client.get("/caller", headers={"X-Organization-Id": str(OTHER_ORG)})
        assert named.json() == str(OTHER_ORG)
        problem_of(await client.get("/caller"), 400, "organization_required")
        for unknown in (uuid4(), CLOSED_ORG):
            response = await client.get("/caller", headers={"X-Organization-Id": str(unknown)})
            problem_of(response, 404, "organization_unknown")
        malformed = await client.get("/caller", headers={"X-Organization-Id": "none"})
        document = problem_of(malformed, 400, "organization_malformed")
        assert document["errors"][0]["where"] == "header:X-Organization-Id"


async def test_a_key_is_looked_up_again_soon_so_a_revoked_one_stops_working(database: Identities) -> None:
    clock = Clock()
    key = database.add(Role.EDITOR)
    async with client_of(app_over(database, clock), key=key.text) as client:
        await client.get("/me")
        await client.get("/me")
        assert database.asked == 1
        database.keys[key.key_hash]["revoked_at"] = NOW
        clock.now += 1.1
        problem_of(await client.get("/me"), 401, "unauthenticated")


async def test_a_key_that_was_refused_works_as_soon_as_it_is_known(database: Identities) -> None:
    key = new_api_key()
    async with client_of(app_over(database), key=key.text) as client:
        problem_of(await client.get("/me"), 401, "unauthenticated")
        known = database.add(Role.EDITOR)
        database.keys[key.key_hash] = database.keys.pop(known.key_hash) | {"key_hash": key.key_hash}
        assert (await client.get("/me")).status_code == 200


async def test_forgetting_a_key_ends_it_at_once(database: Identities) -> None:
    key = database.add(Role.EDITOR)
    authenticator = Authenticator(database)
    await authenticator.principal_of(key.text)
    authenticator.forget(key.key_hash)
    await authenticator.principal_of(key.text)
    authenticator.forget()
    await authenticator.principal_of(key.text)
    assert database.asked == 3


async def test_the_memory_of_keys_is_bounded_and_loses_the_oldest(database: Identities) -> None:
    keys = [database.add(Role.EDITOR) for _ in range(3)]
    authenticator = Authenticator(database, max_cached=2)
    for key in (*keys, keys[2], keys[1], keys[0]):
        await authenticator.principal_of(key.text)
    assert database.asked == 4
