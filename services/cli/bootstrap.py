"""Makes the first key: nobody can ask for it with a key, so it is written where ingest keeps its keys."""

from datetime import datetime
from typing import Final
from uuid import uuid4

from libs.events.ingest_identities import ApiKey
from libs.messaging import outbox
from libs.postgres import Connection, Database
from libs.security.api_keys import NewApiKey, new_api_key
from libs.security.identities import apply_identity
from libs.vocabulary import Role
from services.cli.errors import Failed

# Two at once would both find no key.
LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('platformbus.keys.bootstrap'))"

FIND_OPERATOR_KEY: Final = """
SELECT hint FROM api_keys
WHERE org_id IS NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
ORDER BY created_at
LIMIT 1
"""
# A function of ingest's schema: it also writes the audit log.
RECORD: Final = "SELECT record_operator_key($1, $2, $3, $4, $5)"
NOW: Final = "SELECT clock_timestamp()"


async def bootstrap_key(worker_dsn: str, *, name: str, force: bool, dry_run: bool) -> tuple[ApiKey, NewApiKey]:
    """Make a key of the bus's operators in ingest's database and announce it, in one transaction.

    `worker_dsn` is ingest's worker. The key's text is in the answer and nowhere else.
    Raises: Failed when there is such a key already, unless `force`.
    """
    database = await Database.connect(
        worker_dsn, role="worker", min_size=1, max_size=1, application_name="platformbus keys bootstrap"
    )
    try:
        async with database.transaction() as conn:
            await conn.execute(LOCK)
            hint = await conn.fetchval(FIND_OPERATOR_KEY)
            if hint is not None and not force:
                raise Failed(
                    f"there is a key of the bus's operators already (it ends in {hint}); make more with"
                    " `platformbus keys create --platform`, or say --force when that key is lost"
                )
            made = new_api_key()
            key = _event_of(made, name, await conn.fetchval(NOW))
            if not dry_run:
                await _write(conn, key)
            return key, made
    finally:
        await database.close()


async def _write(conn: Connection, key: ApiKey) -> None:
    await conn.execute(RECORD, key.key_id, key.name, key.key_hash, key.hint, key.created_at)
    await apply_identity(conn, key, 1)
    await outbox.append(
        conn, topic=ApiKey.topic, key=f"platform/{key.key_id}", event=key, source="platformbus/ingest", version=1
    )


def _event_of(made: NewApiKey, name: str, now: datetime) -> ApiKey:
    return ApiKey(
        key_id=uuid4(),
        org_id=None,
        name=name,
        role=Role.SUPER_ADMIN,
        key_hash=made.key_hash,
        hint=made.hint,
        expires_at=None,
        revoked_at=None,
        created_at=now,
    )
