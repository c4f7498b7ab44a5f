"""The copy of the identities: what a key may do, and that no other role can look into it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from libs.events.ingest_identities import ApiKey, Organization, Producer
from libs.events.problem import ProblemError
from libs.events.requests import RequestSubmitted
from libs.postgres import Connection, Database
from libs.security.api_keys import NewApiKey, new_api_key
from libs.security.identities import (
    Principal,
    apply_identity,
    authenticate,
    find_key,
    find_organization,
    find_producer,
    remove_identity,
    require,
)
from libs.vocabulary import KeyId, OrgId, Role
from tests.support.databases import ServiceDatabase

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
async def conn(asset_sync_database: ServiceDatabase) -> AsyncIterator[Connection]:
    database = await Database.connect(asset_sync_database.worker_dsn, role="worker", application_name="test")
    async with database.transaction() as connection:
        yield connection
    await database.close()


def organization(org_id: UUID, **changes: Any) -> Organization:
    return Organization(org_id=org_id, name="Label", active=True, created_at=NOW).model_copy(update=changes)


def api_key(made: NewApiKey, org_id: UUID | None, **changes: Any) -> ApiKey:
    role = Role.ADMIN if org_id else Role.SUPER_ADMIN
    state = ApiKey(
        key_id=uuid4(),
        org_id=org_id,
        name="ci",
        role=role,
        key_hash=made.key_hash,
        hint=made.hint,
        expires_at=None,
        revoked_at=None,
        created_at=NOW,
    )
    return state.model_copy(update=changes)


@pytest.mark.db
async def test_a_key_of_an_active_organization_gives_its_principal(conn: Connection) -> None:
    org_id, made = uuid4(), new_api_key()
    state = api_key(made, org_id)
    await apply_identity(conn, organization(org_id), 1)
    await apply_identity(conn, state, 1)
    assert await authenticate(conn, made.text) == Principal(KeyId(state.key_id), OrgId(org_id), Role.ADMIN)
    assert await find_key(conn, made.key_hash) == state
    assert await find_organization(conn, org_id) == organization(org_id)


@pytest.mark.db
async def test_an_operators_key_belongs_to_no_organization(conn: Connection) -> None:
    made = new_api_key()
    await apply_identity(conn, api_key(made, None), 1)
    assert (await authenticate(conn, made.text)).org_id is None


@pytest.mark.db
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"revoked_at": NOW}, "revoked"),
        ({"expires_at": NOW}, "expired"),
        ({"org_id": None, "role": Role.ADMIN}, "no organization"),
    ],
)
async def test_a_key_that_may_not_be_used_says_why(conn: Connection, changes: dict[str, Any], words: str) -> None:
    org_id, made = uuid4(), new_api_key()
    await apply_identity(conn, organization(org_id), 1)
    await apply_identity(conn, api_key(made, org_id).model_copy(update=changes), 1)
    await assert_refused(conn, made.text, words)


@pytest.mark.db
async def test_a_key_works_until_the_moment_it_expires(conn: Connection) -> None:
    org_id, made = uuid4(), new_api_key()
    await apply_identity(conn, organization(org_id), 1)
    await apply_identity(conn, api_key(made, org_id, expires_at=NOW), 1)
    assert (await authenticate(conn, made.text, now=NOW - timedelta(seconds=1))).org_id == org_id
    await assert_refused(conn, made.text, "expired", now=NOW)


@pytest.mark.db
@pytest.mark.parametrize("state", [None, {"active": False}])
async def test_a_key_without_an_active_organization_is_refused(conn: Connection, state: dict[str, Any] | None) -> None:
    org_id, made = uuid4(), new_api_key()
    if state is not None:
        await apply_identity(conn, organization(org_id, **state), 1)
    await apply_identity(conn, api_key(made, org_id), 1)
    await assert_refused(conn, made.text, "not active")


@pytest.mark.db
async def test_an_unknown_key_and_a_text_that_is_no_key_are_refused(conn: Connection) -> None:
    await assert_refused(conn, new_api_key().text, "not known")
    await assert_refused(conn, "pbk_guess", "form")
    await assert_refused(conn, "pbk_\udcff' OR 1=1", "form")


@pytest.mark.db
async def test_an_older_state_never_replaces_a_newer_one(conn: Connection) -> None:
    org_id, made = uuid4(), new_api_key()
    state = api_key(made, org_id)
    await apply_identity(conn, organization(org_id), 1)
    await apply_identity(conn, state.model_copy(update={"revoked_at": NOW}), 2)
    await apply_identity(conn, state, 1)
    await remove_identity(conn, ApiKey, f"{org_id}/{state.key_id}", 2)
    await assert_refused(conn, made.text, "revoked")


@pytest.mark.db
async def test_a_tombstone_ends_an_identity(conn: Connection) -> None:
    org_id, made = uuid4(), new_api_key()
    state = api_key(made, org_id)
    producer = Producer(source="crm", org_ids=(org_id,), kinds=("api_request",), active=True)
    await apply_identity(conn, organization(org_id), 1)
    await apply_identity(conn, state, 1)
    await apply_identity(conn, producer, 1)
    assert await find_producer(conn, "crm") == producer
    await remove_identity(conn, ApiKey, f"{org_id}/{state.key_id}", 2)
    await remove_identity(conn, Organization, str(org_id), 2)
    await remove_identity(conn, Producer, "producer/crm", 2)
    assert await find_key(conn, made.key_hash) is None
    assert await find_organization(conn, org_id) is None
    assert await find_producer(conn, "crm") is None


@pytest.mark.db
async def test_an_event_of_another_topic_is_a_bug_and_says_so(conn: Connection) -> None:
    with pytest.raises(TypeError, match="RequestSubmitted"):
        await apply_identity(conn, RequestSubmitted(kind="x", org_id=uuid4(), payload={}), 1)
    with pytest.raises(TypeError, match="RequestSubmitted"):
        await remove_identity(conn, RequestSubmitted, "x", 1)


@pytest.mark.db
@pytest.mark.parametrize("table", ["identity_organizations", "identity_api_keys", "identity_producers"])
async def test_the_api_role_cannot_read_the_identities(asset_sync_database: ServiceDatabase, table: str) -> None:
    connection = await asyncpg.connect(asset_sync_database.api_dsn)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(f"SELECT * FROM {table}")
    finally:
        await connection.close()


@pytest.mark.db
async def test_row_security_would_bind_the_api_role_even_with_a_grant(asset_sync_database: ServiceDatabase) -> None:
    mine, other = uuid4(), uuid4()
    admin = await asyncpg.connect(asset_sync_database.admin_dsn)
    transaction = admin.transaction()
    await transaction.start()
    try:
        await admin.execute("SET LOCAL search_path = assets")
        for org_id in (mine, other, None):
            made = new_api_key()
            await apply_identity(admin, api_key(made, org_id), 1)
        await admin.execute("GRANT SELECT ON identity_api_keys TO asset_sync_api")
        await admin.execute("SET LOCAL ROLE asset_sync_api")
        assert await admin.fetch("SELECT org_id FROM identity_api_keys") == []
        await admin.execute("SELECT set_config('app.org_id', $1, true)", str(mine))
        seen = await admin.fetch("SELECT org_id FROM identity_api_keys")
        assert [row["org_id"] for row in seen] == [mine]
    finally:
        await transaction.rollback()
        await admin.close()


def test_a_role_that_is_not_named_is_refused_with_what_is_needed() -> None:
    analyst = Principal(KeyId(uuid4()), OrgId(uuid4()), Role.ANALYST)
    with pytest.raises(ProblemError) as caught:
        require(analyst, Role.ADMIN, Role.EDITOR)
    document = caught.value.problem
    assert document.status == 403
    assert "admin or editor" in document.errors[0].how
    require(analyst, Role.ANALYST)


def test_a_super_admin_passes_everywhere() -> None:
    require(Principal(KeyId(uuid4()), None, Role.SUPER_ADMIN), Role.EDITOR)
    with pytest.raises(ProblemError):
        require(Principal(KeyId(uuid4()), OrgId(uuid4()), Role.ADMIN))


async def assert_refused(conn: Connection, text: str, words: str, *, now: datetime | None = None) -> None:
    with pytest.raises(ProblemError) as caught:
        await authenticate(conn, text, now=now)
    assert caught.value.problem.status == 401
    assert words in caught.value.problem.detail
    assert "WWW-Authenticate" in caught.value.headers
    assert text not in caught.value.problem.model_dump_json()
