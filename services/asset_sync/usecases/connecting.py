"""Keeping connections: add, replace the token, disconnect, delete. Every change is published in its own transaction."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from libs.events.assets_connections import Connection as ConnectionState
from libs.events.assets_connections import SealedSecret
from libs.events.problem import ProblemError, ProblemItem, problem
from libs.messaging.outbox import OutboxItem, append_many
from libs.postgres import Connection
from libs.security.sealing import KeyRing, connection_aad
from libs.vocabulary import ConnectionId, ConnectionStatus, OrgId
from services.asset_sync import store
from services.asset_sync.models import (
    SOURCE,
    TOKEN_FIELD,
    TOPIC,
    Actor,
    ConnectionRow,
    EndedRow,
    KnownToken,
    NewConnection,
    SealedRow,
)

NO_TOKEN: Final = ""
"""Sealed in the place of a token that is no longer ours to keep; state on the topic always carries something sealed."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The connection, and whether it was made by an earlier request with the same idempotency key."""

    row: ConnectionRow
    duplicate: bool


async def find_former(
    conn: Connection, org_id: OrgId, idempotency_key: str, wanted: NewConnection
) -> ConnectionRow | None:
    """Give the connection that this idempotency key made before.

    Raises ProblemError: 422 the key was used for something else, 409 what it made was deleted since.
    """
    former = await store.find_idempotency_key(conn, org_id, idempotency_key)
    if former is None:
        return None
    if former.content_hash != content_hash(wanted):
        raise ProblemError(
            problem(
                "idempotency_key_reused",
                422,
                "Idempotency key used again",
                "This idempotency key was used with another body.",
                ProblemItem(
                    where="header:Idempotency-Key", what="was used with another body", how="send a new key with it"
                ),
            )
        )
    row = await store.find_connection(conn, org_id, former.connection_id)
    if row is None:
        detail = f"This request made connection {former.connection_id}, which was deleted since."
        raise ProblemError(problem("connection_deleted", 409, "Connection deleted", detail))
    return row


async def connect(
    conn: Connection,
    ring: KeyRing,
    org_id: OrgId,
    wanted: NewConnection,
    token: KnownToken,
    *,
    idempotency_key: str | None,
    actor: Actor,
    now: datetime,
    expiring: timedelta,
) -> Connected:
    """Seal and keep a token that the platform vouched for, and publish the connection. Raises as `find_former`."""
    connection_id = ConnectionId(uuid4())
    if idempotency_key is not None:
        claimed = await store.claim_idempotency_key(
            conn, org_id, idempotency_key, content_hash=content_hash(wanted), connection_id=connection_id
        )
        if not claimed:
            former = await find_former(conn, org_id, idempotency_key, wanted)
            assert former is not None, "a claimed key is there until it is a month old"
            return Connected(former, duplicate=True)
    sealed = seal_token(ring, org_id, connection_id, token.text)
    row = await store.insert_connection(
        conn,
        connection_id=connection_id,
        org_id=org_id,
        platform=wanted.platform,
        name=wanted.name,
        token=token,
        status=status_of(token.expires_at, now, expiring),
        sealed=sealed,
        accounts=wanted.accounts,
    )
    await publish(conn, [SealedRow(row, sealed)])
    accounts = {"accounts": [str(account) for account in row.accounts]} if row.accounts else {}
    await _audit(conn, row, actor, "connection.added", name=row.name, token_hint=row.token_hint, **accounts)
    return Connected(row, duplicate=False)


async def find_replaceable(conn: Connection, org_id: OrgId, connection_id: UUID) -> ConnectionRow:
    """Give a connection whose token may be replaced. Raises ProblemError: 404 unknown, 409 disconnected."""
    row = await show(conn, org_id, connection_id)
    if row.disconnected_at is not None:
        raise disconnected(connection_id, "its token cannot be replaced")
    return row


async def replace_token(
    conn: Connection,
    ring: KeyRing,
    known: ConnectionRow,
    token: KnownToken,
    *,
    actor: Actor,
    now: datetime,
    expiring: timedelta,
) -> ConnectionRow:
    """Keep another token for the same owner's account, and publish the connection.

    Raises ProblemError: 404 deleted meanwhile, 409 disconnected meanwhile, 422 the token is another user's.
    """
    if known.owner_user_id and token.owner_user_id and known.owner_user_id != token.owner_user_id:
        item = ProblemItem(
            where="/access_token",
            what="belongs to another user than the connection",
            how="send a token of the same user, or add a connection",
        )
        detail = "A connection stays with the user who made it; what others planned with it would change its author."
        raise ProblemError(problem("token_of_another_user", 422, "Token of another user", detail, item))
    sealed = seal_token(ring, known.org_id, known.id, token.text)
    status = status_of(token.expires_at, now, expiring)
    row = await store.replace_token(conn, known.org_id, known.id, token=token, status=status, sealed=sealed)
    if row is None:
        await find_replaceable(conn, known.org_id, known.id)
        raise _unknown(known.id)
    await publish(conn, [SealedRow(row, sealed)])
    await _audit(conn, row, actor, "connection.token_replaced", token_hint=row.token_hint, version=row.version)
    return row


async def disconnect(
    conn: Connection, ring: KeyRing, org_id: OrgId, connection_id: UUID, *, actor: Actor
) -> ConnectionRow:
    """Forget the token and publish the connection as disconnected; done before, it changes nothing.

    Raises ProblemError 404.
    """
    sealed = seal_token(ring, org_id, ConnectionId(connection_id), NO_TOKEN)
    row = await store.disconnect(conn, org_id, connection_id, sealed=sealed)
    if row is None:
        return await show(conn, org_id, connection_id)
    await publish(conn, [SealedRow(row, sealed)])
    await _audit(conn, row, actor, "connection.disconnected", version=row.version)
    return row


async def delete(conn: Connection, org_id: OrgId, connection_id: UUID, *, actor: Actor) -> EndedRow:
    """Delete the connection and publish its tombstone. Raises ProblemError 404."""
    ended = await store.delete_connection(conn, org_id, connection_id)
    if ended is None:
        raise _unknown(connection_id)
    await publish_ended(conn, [ended])
    details = {"version": ended.version}
    await store.insert_audit(conn, org_id, actor, "connection.deleted", str(connection_id), details)
    return ended


async def show(conn: Connection, org_id: OrgId, connection_id: UUID) -> ConnectionRow:
    """Give a connection. Raises ProblemError 404, also for another organization's."""
    row = await store.find_connection(conn, org_id, connection_id)
    if row is None:
        raise _unknown(connection_id)
    return row


async def publish(conn: Connection, changed: list[SealedRow]) -> None:
    """Append the state of connections whose rows this transaction holds."""
    await append_many(
        conn,
        [
            OutboxItem(
                topic=TOPIC,
                key=record_key(each.row.org_id, each.row.id),
                event=_state(each),
                source=SOURCE,
                org_id=each.row.org_id,
                subject=str(each.row.id),
                version=each.row.version,
            )
            for each in changed
        ],
    )


async def publish_ended(conn: Connection, ended: list[EndedRow]) -> None:
    """Append the tombstones of deleted connections."""
    await append_many(
        conn,
        [
            OutboxItem(
                topic=TOPIC,
                key=record_key(each.org_id, each.id),
                event=None,
                event_type=ConnectionState,
                source=SOURCE,
                org_id=each.org_id,
                subject=str(each.id),
                version=each.version,
            )
            for each in ended
        ],
    )


def seal_token(ring: KeyRing, org_id: OrgId, connection_id: ConnectionId, text: str) -> SealedSecret:
    """Seal a connection's access token, bound to that connection."""
    return ring.seal(text, aad=connection_aad(org_id, connection_id, TOKEN_FIELD))


def status_of(expires_at: datetime | None, now: datetime, expiring: timedelta) -> ConnectionStatus:
    """Give the state of a token that works now, or has run out."""
    if expires_at is None or expires_at > now + expiring:
        return ConnectionStatus.HEALTHY
    return ConnectionStatus.EXPIRING if expires_at > now else ConnectionStatus.EXPIRED


def content_hash(wanted: NewConnection) -> bytes:
    """Give what tells two requests under one idempotency key apart; a token has too many bits to be found from it."""
    parts: list[str | None] = [wanted.platform.value, wanted.name, wanted.app_id, wanted.access_token]
    parts += [str(account) for account in wanted.accounts]
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def record_key(org_id: UUID, connection_id: UUID) -> str:
    """Give the key of a connection's records."""
    return f"{org_id}/{connection_id}"


def _state(each: SealedRow) -> ConnectionState:
    row = each.row
    return ConnectionState(
        connection_id=row.id,
        org_id=row.org_id,
        platform=row.platform,
        name=row.name,
        app_id=row.app_id,
        status=row.status,
        scopes=row.scopes,
        expires_at=row.token_expires_at,
        sealed_access_token=each.sealed,
        updated_at=row.updated_at,
        accounts=row.accounts,
        created_at=row.created_at,
    )


async def _audit(conn: Connection, row: ConnectionRow, actor: Actor, action: str, **details: Any) -> None:
    await store.insert_audit(conn, row.org_id, actor, action, str(row.id), {"platform": row.platform.value, **details})


def _unknown(connection_id: UUID) -> ProblemError:
    item = ProblemItem(
        where="path:connection_id", what="names no connection", how="use an id that `GET /v1/connections` lists"
    )
    detail = f"The organization has no connection {connection_id}."
    return ProblemError(problem("connection_unknown", 404, "Connection unknown", detail, item))


def disconnected(connection_id: UUID, words: str) -> ProblemError:
    """Give the refusal to change what was disconnected."""
    detail = f"Connection {connection_id} was disconnected; {words}. Add a new connection."
    return ProblemError(problem("connection_disconnected", 409, "Connection disconnected", detail))
