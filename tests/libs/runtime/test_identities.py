from datetime import UTC, datetime
from uuid import uuid4

import pytest

from libs.events.envelope import Envelope, new_event_id
from libs.events.ingest_identities import ApiKey, Organization, Producer
from libs.events.model import Event
from libs.messaging.messages import Message
from libs.postgres import Database
from libs.runtime.auth import Authenticator
from libs.runtime.identities import TOPIC, identity_routes, on_identities
from libs.security.api_keys import new_api_key
from libs.security.identities import find_organization, find_producer
from libs.vocabulary import Role
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db

NOW = datetime.now(UTC)


def message(event: Event | None, key: str, version: int, event_type: type[Event] | None = None) -> Message:
    name = (event_type or type(event)).event_type  # type: ignore[union-attr]
    envelope = Envelope(id=new_event_id(), type=name, source="ingest", time=NOW, version=version)
    return Message(envelope, event, key, TOPIC, 0, version)


async def test_a_key_that_arrives_as_an_event_opens_the_door(batcher_database: ServiceDatabase) -> None:
    org_id, key = uuid4(), new_api_key()
    organization = Organization(org_id=org_id, name="Demo", active=True, created_at=NOW)
    api_key = ApiKey(
        key_id=uuid4(),
        org_id=org_id,
        name="first",
        role=Role.EDITOR,
        key_hash=key.key_hash,
        hint=key.hint,
        expires_at=None,
        revoked_at=None,
        created_at=NOW,
    )
    producer = Producer(source="shop", org_ids=(org_id,), kinds=("api_request",), active=True)
    database = await Database.connect(batcher_database.worker_dsn, role="worker", application_name="test")
    try:
        async with database.transaction() as connection:
            await on_identities(
                connection,
                [
                    message(organization, str(org_id), 1),
                    message(api_key, f"{org_id}/{api_key.key_id}", 1),
                    message(producer, "producer/shop", 1),
                ],
            )
        principal = await Authenticator(database).principal_of(key.text)
        assert (principal.org_id, principal.role) == (org_id, Role.EDITOR)
        async with database.transaction() as connection:
            await on_identities(
                connection,
                [
                    message(None, str(org_id), 2, Organization),
                    message(None, "producer/shop", 2, Producer),
                ],
            )
            assert await find_organization(connection, org_id) is None
            assert await find_producer(connection, "shop") is None
    finally:
        await database.close()


def test_one_route_takes_every_kind_of_identity() -> None:
    (route,) = identity_routes()
    assert route.topic == "ingest.identities"
    assert set(route.events) == {Organization, ApiKey, Producer}
