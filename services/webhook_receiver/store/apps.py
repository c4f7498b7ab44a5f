"""Apps, their secrets and tokens, always sealed; and who did what."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from libs.postgres import Connection, Record
from libs.security.sealing import SealedSecret
from libs.vocabulary import PlatformName
from services.webhook_receiver.models import Actor, AppRow, SealedApp, SecretRow

_SECRETS: Final = """
    coalesce(
        (SELECT jsonb_agg(
            jsonb_build_object('id', secret.id, 'hint', secret.hint, 'status', secret.status, 'kek_id', secret.kek_id,
                'created_at', secret.created_at, 'retired_at', secret.retired_at)
            ORDER BY secret.created_at, secret.id)
        FROM webhook_app_secrets AS secret
        WHERE secret.app_id = webhook_apps.id),
        '[]'
    ) AS secrets
"""
_COLUMNS: Final = f"id, platform, app, name, kek_id, created_at, updated_at, {_SECRETS}"

INSERT_APP: Final = """
INSERT INTO webhook_apps (id, platform, app, name, sealed_verify_token)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (platform, app) DO NOTHING
RETURNING true
"""


async def insert_app(
    conn: Connection, app_id: UUID, platform: PlatformName, app: str, *, name: str, verify_token: SealedSecret
) -> bool:
    """Add an app without secrets; False when the platform's app is here before."""
    row = await conn.fetchval(INSERT_APP, app_id, platform.value, app, name, verify_token.model_dump_json())
    return bool(row)


LIST_APPS: Final = f"SELECT {_COLUMNS} FROM webhook_apps ORDER BY platform, app"  # noqa: S608  constant columns


async def list_apps(conn: Connection) -> list[AppRow]:
    """Give every app with its secrets' hints."""
    return [_app(row) for row in await conn.fetch(LIST_APPS)]


FIND_APP: Final = f"SELECT {_COLUMNS} FROM webhook_apps WHERE platform = $1 AND app = $2"  # noqa: S608


async def find_app(conn: Connection, platform: PlatformName, app: str) -> AppRow | None:
    """Give an app with its secrets' hints."""
    row = await conn.fetchrow(FIND_APP, platform.value, app)
    return _app(row) if row is not None else None


LOCK_APP: Final = "SELECT id FROM webhook_apps WHERE platform = $1 AND app = $2 FOR UPDATE"


async def lock_app(conn: Connection, platform: PlatformName, app: str) -> UUID | None:
    """Hold an app until the transaction ends, and give its id."""
    app_id: UUID | None = await conn.fetchval(LOCK_APP, platform.value, app)
    return app_id


DELETE_APP: Final = "DELETE FROM webhook_apps WHERE id = $1"


async def delete_app(conn: Connection, app_id: UUID) -> None:
    """Delete an app with its secrets; its deliveries stay."""
    await conn.execute(DELETE_APP, app_id)


# The two slots are what makes a third active secret impossible, whoever inserts at the same time.
INSERT_SECRET: Final = """
INSERT INTO webhook_app_secrets (id, app_id, slot, sealed_secret, hint)
SELECT $1, $2, free.slot, $3, $4
FROM generate_series(1, 2) AS free (slot)
WHERE NOT EXISTS (
    SELECT FROM webhook_app_secrets AS taken
    WHERE taken.app_id = $2 AND taken.slot = free.slot AND taken.status = 'active'
)
ORDER BY free.slot
LIMIT 1
RETURNING true
"""  # noqa: S105  SQL
TOUCH: Final = "UPDATE webhook_apps SET updated_at = now() WHERE id = $1"


async def insert_secret(conn: Connection, app_id: UUID, secret_id: UUID, sealed: SealedSecret, hint: str) -> bool:
    """Add an active secret to an app that is locked; False when two are active."""
    added = await conn.fetchval(INSERT_SECRET, secret_id, app_id, sealed.model_dump_json(), hint)
    await conn.execute(TOUCH, app_id)
    return bool(added)


RETIRE_SECRET: Final = """
UPDATE webhook_app_secrets
SET status = 'retired', retired_at = now(), sealed_secret = NULL
WHERE id = $2 AND app_id = $1 AND status = 'active'
RETURNING true
"""  # noqa: S105  SQL


async def retire_secret(conn: Connection, app_id: UUID, secret_id: UUID) -> bool:
    """Retire an active secret and delete what was sealed; False when the app has no such active one."""
    retired = await conn.fetchval(RETIRE_SECRET, app_id, secret_id)
    await conn.execute(TOUCH, app_id)
    return bool(retired)


LIST_SEALED: Final = """
SELECT webhook_apps.id, webhook_apps.platform, webhook_apps.app, webhook_apps.sealed_verify_token,
    secret.id AS secret_id, secret.sealed_secret
FROM webhook_apps
LEFT JOIN webhook_app_secrets AS secret ON secret.app_id = webhook_apps.id AND secret.status = 'active'
ORDER BY webhook_apps.platform, webhook_apps.app, secret.created_at DESC, secret.id DESC
"""


async def list_sealed(conn: Connection) -> list[SealedApp]:
    """Give every app with what is sealed: its verify token and its active secrets, the newest first."""
    apps: dict[UUID, SealedApp] = {}
    for row in await conn.fetch(LIST_SEALED):
        app = apps.get(row["id"])
        if app is None:
            token = SealedSecret.model_validate_json(row["sealed_verify_token"])
            app = apps[row["id"]] = SealedApp(row["id"], row["platform"], row["app"], token, {})
        if row["secret_id"] is not None:
            app.secrets[row["secret_id"]] = SealedSecret.model_validate_json(row["sealed_secret"])
    return list(apps.values())


REPLACE_TOKEN: Final = "UPDATE webhook_apps SET sealed_verify_token = $2 WHERE id = $1"  # noqa: S105  SQL
REPLACE_SECRET: Final = "UPDATE webhook_app_secrets SET sealed_secret = $2 WHERE id = $1 AND status = 'active'"  # noqa: S105  SQL
LOCK_OTHER_KEYS: Final = """
SELECT id
FROM webhook_apps
WHERE kek_id <> $1
    OR EXISTS (SELECT FROM webhook_app_secrets AS secret WHERE secret.app_id = webhook_apps.id AND secret.kek_id <> $1)
ORDER BY id
FOR UPDATE
"""


async def lock_sealed_under_other_keys(conn: Connection, kek_id: str) -> list[SealedApp]:
    """Hold the apps of which something is not sealed under this key, and give them."""
    locked = {row["id"] for row in await conn.fetch(LOCK_OTHER_KEYS, kek_id)}
    return [app for app in await list_sealed(conn) if app.id in locked] if locked else []


async def replace_sealed(
    conn: Connection, tokens: Mapping[UUID, SealedSecret], secrets: Mapping[UUID, SealedSecret]
) -> None:
    """Store what was sealed anew: verify tokens by app, secrets by their own id."""
    for app_id, sealed in tokens.items():
        await conn.execute(REPLACE_TOKEN, app_id, sealed.model_dump_json())
    for secret_id, sealed in secrets.items():
        await conn.execute(REPLACE_SECRET, secret_id, sealed.model_dump_json())


INSERT_AUDIT: Final = """
INSERT INTO audit_log (actor_key_id, actor_role, action, subject, details) VALUES ($1, $2, $3, $4, $5)
"""


async def insert_audit(conn: Connection, actor: Actor, action: str, subject: str, details: Mapping[str, Any]) -> None:
    """Record who did what. Details never hold a credential."""
    role = actor.role.value if actor.role else None
    await conn.execute(INSERT_AUDIT, actor.key_id, role, action, subject, json.dumps(details, default=str))


def _app(row: Record) -> AppRow:
    return AppRow(
        id=row["id"],
        platform=PlatformName(row["platform"]),
        app=row["app"],
        name=row["name"],
        kek_id=row["kek_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        secrets=_secrets(json.loads(row["secrets"])),
    )


def _secrets(found: Sequence[Mapping[str, Any]]) -> tuple[SecretRow, ...]:
    return tuple(
        SecretRow(
            id=UUID(secret["id"]),
            hint=secret["hint"],
            status=secret["status"],
            kek_id=secret["kek_id"],
            created_at=datetime.fromisoformat(secret["created_at"]),
            retired_at=datetime.fromisoformat(secret["retired_at"]) if secret["retired_at"] else None,
        )
        for secret in found
    )
