from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from libs.events.ingest_identities import ApiKey, Organization, Producer
from libs.events.problem import ProblemError
from libs.security.api_keys import hash_key
from libs.security.identities import authenticate, find_organization, find_producer
from libs.vocabulary import OrgId, Role
from services.ingest.usecases.identities import (
    create_key,
    create_organization,
    put_producer,
    reannounce_identities,
    revoke_key,
    update_organization,
)
from tests.support.databases import Databases
from tests.support.ingest import OPERATOR, Ingest, IngestServer, an_ingest_server

pytestmark = pytest.mark.db


@pytest.fixture(scope="module")
async def server(databases: Databases) -> AsyncIterator[IngestServer]:
    async with an_ingest_server(databases) as made:
        yield made


@pytest.fixture
async def ingest(server: IngestServer) -> Ingest:
    return await server.fresh()


async def test_a_new_key_works_at_once_and_is_announced_without_its_text(ingest: Ingest) -> None:
    async with ingest.worker.transaction() as conn:
        created = await create_key(conn, OPERATOR, ingest.org_id, "crm", Role.EDITOR, None)
        principal = await authenticate(conn, created.text)

    assert (principal.org_id, principal.role) == (ingest.org_id, Role.EDITOR)
    [event] = await ingest.outbox("ingest.identities")
    assert (event["aggregateid"], event["version"]) == (f"{ingest.org_id}/{created.key.key_id}", 1)
    assert event["body"]["key_hash"] == hash_key(created.text)
    assert created.text not in str(event)
    assert created.text not in repr(created)


async def test_a_key_is_kept_nowhere(ingest: Ingest) -> None:
    for table in ("api_keys", "identity_api_keys", "audit_log", "outbox"):
        rows = await ingest.rows(f"SELECT entry::text AS words FROM {table} AS entry")
        assert not [row for row in rows if ingest.operator_key in row["words"]]


async def test_a_revoked_key_is_refused_at_once_and_revoking_again_changes_nothing(ingest: Ingest) -> None:
    async with ingest.worker.transaction() as conn:
        created = await create_key(conn, OPERATOR, ingest.org_id, "crm", Role.EDITOR, None)
        revoked = await revoke_key(conn, OPERATOR, ingest.org_id, created.key.key_id)
        again = await revoke_key(conn, OPERATOR, ingest.org_id, created.key.key_id)
        with pytest.raises(ProblemError, match="revoked"):
            await authenticate(conn, created.text)

    assert revoked.revoked_at is not None
    assert again == revoked
    assert [event["version"] for event in await ingest.outbox("ingest.identities")] == [1, 2]


async def test_another_organizations_key_cannot_be_revoked(ingest: Ingest) -> None:
    async with ingest.worker.transaction() as conn:
        created = await create_key(conn, OPERATOR, ingest.org_id, "crm", Role.EDITOR, None)
        with pytest.raises(ProblemError) as caught:
            await revoke_key(conn, OPERATOR, OrgId(uuid4()), created.key.key_id)
    assert caught.value.problem.status == 404


@pytest.mark.parametrize(
    ("operators", "role", "days", "where"),
    [
        (False, Role.SUPER_ADMIN, None, "/role"),
        (True, Role.ADMIN, None, "/role"),
        (False, Role.ADMIN, -1, "/expires_at"),
    ],
)
async def test_a_key_that_could_never_work_is_refused(
    ingest: Ingest, operators: bool, role: Role, days: int | None, where: str
) -> None:
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    async with ingest.worker.transaction() as conn:
        with pytest.raises(ProblemError) as caught:
            await create_key(conn, OPERATOR, None if operators else ingest.org_id, "x", role, expires_at)
    assert caught.value.problem.errors[0].where == where


async def test_a_closed_organization_is_closed_everywhere(ingest: Ingest) -> None:
    async with ingest.worker.transaction() as conn:
        await update_organization(conn, OPERATOR, ingest.org_id, name=None, active=False)
        known = await find_organization(conn, ingest.org_id)
        with pytest.raises(ProblemError, match="not active"):
            await authenticate(conn, ingest.keys[Role.ADMIN])

    assert known is not None
    assert (known.name, known.active) == ("Example Music", False)
    [event] = await ingest.outbox("ingest.identities")
    assert (event["version"], event["body"]["active"]) == (2, False)


async def test_an_organizations_id_can_be_given_once(ingest: Ingest) -> None:
    async with ingest.worker.transaction() as conn:
        created = await create_organization(conn, OPERATOR, "Ours", org_id := uuid4())
        with pytest.raises(ProblemError) as caught:
            await create_organization(conn, OPERATOR, "Ours again", org_id)
    assert created.org_id == org_id
    assert caught.value.problem.status == 409


async def test_a_producer_is_changed_under_a_growing_version(ingest: Ingest) -> None:
    async with ingest.worker.transaction() as conn:
        for active in (True, False):
            producer = Producer(source="/shop/orders", org_ids=(), kinds=("api_request",), active=active)
            await put_producer(conn, OPERATOR, producer)
        known = await find_producer(conn, "/shop/orders")

    assert known == producer
    events = await ingest.outbox("ingest.identities")
    assert [(event["aggregateid"], event["version"]) for event in events] == [
        ("producer//shop/orders", 1),
        ("producer//shop/orders", 2),
    ]


@pytest.mark.parametrize(("source", "kinds"), [("key:1", ("api_request",)), ("crm", ("teleport",)), ("a\nb", ())])
async def test_what_cannot_be_a_producer_is_refused(ingest: Ingest, source: str, kinds: tuple[str, ...]) -> None:
    async with ingest.worker.transaction() as conn:
        with pytest.raises(ProblemError) as caught:
            await put_producer(conn, OPERATOR, Producer(source=source, org_ids=(), kinds=kinds, active=True))
    assert caught.value.problem.status == 422


async def test_every_change_is_in_the_audit_log_with_who_did_it(ingest: Ingest) -> None:
    rows = await ingest.rows("SELECT action, actor_key_id, actor_role, org_id FROM audit_log ORDER BY id")
    assert {row["action"] for row in rows} == {"organization.created", "key.created", "producer.put"}
    assert {(row["actor_key_id"], row["actor_role"]) for row in rows} == {(OPERATOR.key_id, "super_admin")}
    assert rows[0]["org_id"] == ingest.org_id


async def test_nobody_at_run_time_can_change_the_audit_log(ingest: Ingest) -> None:
    rights = (
        "SELECT has_table_privilege(role, 'audit_log', 'UPDATE, DELETE, TRUNCATE') AS may FROM unnest($1::text[]) role"
    )
    rows = await ingest.rows(rights, ["ingest_worker", "ingest_api"])
    assert [row["may"] for row in rows] == [False, False]


async def test_reannouncing_appends_the_current_state_under_its_version(ingest: Ingest) -> None:
    async with ingest.worker.transaction() as conn:
        await update_organization(conn, OPERATOR, ingest.org_id, name="Renamed", active=None)
        await conn.execute("DELETE FROM outbox")
        everything = await reannounce_identities(conn, None)

    events = await ingest.outbox("ingest.identities")
    assert everything == len(events)
    types = [event["type"] for event in events]
    assert {kind: types.count(kind) for kind in types} == {
        Organization.event_type: 1,
        ApiKey.event_type: len(ingest.keys) + 1,
        Producer.event_type: 1,
    }
    assert (events[0]["body"]["name"], events[0]["version"]) == ("Renamed", 2)


async def test_reannouncing_since_a_time_takes_only_what_changed_since(ingest: Ingest) -> None:
    async with ingest.worker.transaction() as conn:
        assert await reannounce_identities(conn, datetime.now(UTC) + timedelta(minutes=1)) == 0
