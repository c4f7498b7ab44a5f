"""The projection of connections, and whose an account is."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from libs.postgres import Connection
from services.webhook_receiver.models import ConnectionRow

APPLY: Final = """
INSERT INTO connections AS known (connection_id, org_id, platform, status, created_at, version)
SELECT connection_id, org_id, platform, status, coalesce(created_at, now()), version
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])
    AS state (connection_id, org_id, platform, status, created_at, version)
ORDER BY connection_id
ON CONFLICT (connection_id) DO UPDATE
SET org_id = excluded.org_id, platform = excluded.platform, status = excluded.status,
    created_at = least(known.created_at, excluded.created_at), version = excluded.version, updated_at = now()
WHERE known.version < excluded.version
RETURNING connection_id
"""


async def apply(conn: Connection, states: Sequence[ConnectionRow]) -> set[UUID]:
    """Take over newer states, one per connection; give the connections whose state was newer."""
    rows = await conn.fetch(
        APPLY,
        [state.connection_id for state in states],
        [state.org_id for state in states],
        [state.platform.value for state in states],
        [state.status.value for state in states],
        [state.created_at for state in states],
        [state.version for state in states],
    )
    return {row["connection_id"] for row in rows}


END: Final = """
UPDATE connections AS known
SET status = 'disconnected', version = ended.version, updated_at = now()
FROM unnest($1::uuid[], $2::bigint[]) AS ended (connection_id, version)
WHERE known.connection_id = ended.connection_id AND known.version < ended.version
RETURNING known.connection_id
"""


async def end(conn: Connection, ended: Sequence[tuple[UUID, int]]) -> set[UUID]:
    """Mark connections that ended, pairs of connection and version of its tombstone; give those that were older."""
    rows = await conn.fetch(END, [connection_id for connection_id, _ in ended], [version for _, version in ended])
    return {row["connection_id"] for row in rows}


CLEAR_ACCOUNTS: Final = "DELETE FROM connection_accounts WHERE connection_id = ANY($1::uuid[])"
ADD_ACCOUNTS: Final = """
INSERT INTO connection_accounts (connection_id, org_id, platform, account_type, account_id)
SELECT connection_id, org_id, platform, account_type, account_id
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[])
    AS account (connection_id, org_id, platform, account_type, account_id)
ON CONFLICT DO NOTHING
"""


async def replace_accounts(conn: Connection, cleared: Sequence[UUID], states: Sequence[ConnectionRow]) -> None:
    """Forget the accounts of the connections in `cleared`, and keep those of `states`."""
    await conn.execute(CLEAR_ACCOUNTS, cleared)
    rows = [
        (state.connection_id, state.org_id, state.platform.value, account_type, account_id)
        for state in states
        for account_type, account_id in state.accounts
    ]
    if rows:
        await conn.execute(ADD_ACCOUNTS, *map(list, zip(*rows, strict=True)))


# Of an organization's several connections the oldest that works wins; one that was disconnected never does. The offset
# keeps a plan that is made while the table is empty to its index.
FIND_OWNERS: Final = """
SELECT DISTINCT ON (account.platform, account.account_type, account.account_id, account.org_id)
    account.platform, account.account_type, account.account_id, account.org_id, account.connection_id
FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (platform, account_type, account_id)
CROSS JOIN LATERAL (
    SELECT here.platform, here.account_type, here.account_id, here.org_id, here.connection_id
    FROM connection_accounts AS here
    WHERE here.platform = wanted.platform AND here.account_id = wanted.account_id
        AND here.account_type = wanted.account_type
    OFFSET 0
) AS account
JOIN connections AS known ON known.connection_id = account.connection_id
WHERE known.status <> 'disconnected'
ORDER BY account.platform, account.account_type, account.account_id, account.org_id,
    known.status IN ('healthy', 'expiring') DESC, known.created_at, known.connection_id
"""


async def find_owners(
    conn: Connection, accounts: Sequence[tuple[str, str, str]]
) -> dict[tuple[str, str, str], list[tuple[UUID, UUID]]]:
    """Give, by account (platform, type, id), one connection per organization: pairs of organization and connection."""
    owners: dict[tuple[str, str, str], list[tuple[UUID, UUID]]] = {}
    for row in await conn.fetch(FIND_OWNERS, *map(list, zip(*accounts, strict=True))):
        account = (row["platform"], row["account_type"], row["account_id"])
        owners.setdefault(account, []).append((row["org_id"], row["connection_id"]))
    return owners
