"""Keeps a service's copy of the identities up to date; ingest itself writes its own copy when it makes the change."""

from collections.abc import Sequence

from libs.events.ingest_identities import ApiKey, Organization, Producer
from libs.events.topics import EVENTS
from libs.messaging.messages import Message, Route
from libs.postgres import Connection
from libs.security.identities import apply_identity, remove_identity

TOPIC = "ingest.identities"


def identity_routes() -> tuple[Route, ...]:
    """Give the route that every service with an HTTP API adds to its own; ingest does not."""
    return (Route(TOPIC, (Organization, ApiKey, Producer), on_identities),)


async def on_identities(connection: Connection, messages: Sequence[Message]) -> None:
    """Apply the newest state of each identity; a tombstone removes it. State topics always carry a version."""
    for message in messages:
        version = message.envelope.version
        assert version is not None, "the consume loop dead-letters state without a version"
        if message.data is None:
            await remove_identity(connection, EVENTS[message.envelope.type], message.key, version)
        else:
            await apply_identity(connection, message.data, version)
