"""Apps that platforms push to: kept sealed, rotated without a gap."""

import logging
import secrets
from typing import Any, Final
from uuid import UUID, uuid4

from libs.events.problem import ProblemError, ProblemItem, problem
from libs.postgres import Connection
from libs.security.sealing import KeyRing, SealedSecret, SealError
from libs.vocabulary import PlatformName
from services.webhook_receiver.models import Actor, AppRow, NewApp
from services.webhook_receiver.store import apps

TOKEN_BYTES: Final = 32

_log = logging.getLogger(__name__)


async def add_app(conn: Connection, ring: KeyRing, wanted: NewApp, actor: Actor) -> tuple[AppRow, str]:
    """Keep an app with its first secret, and give it with its verify token.

    Raises ProblemError 409: the platform's app is here before.
    """
    app_id = uuid4()
    token = wanted.verify_token or secrets.token_urlsafe(TOKEN_BYTES)
    sealed = ring.seal(token, aad=token_aad(app_id))
    if not await apps.insert_app(conn, app_id, wanted.platform, wanted.app, name=wanted.name, verify_token=sealed):
        detail = f"App {wanted.app} of {wanted.platform} is here already; add a secret to it to rotate."
        item = ProblemItem(where="/app", what="is here already", how="add a secret to it, or delete it first")
        raise ProblemError(problem("app_exists", 409, "App exists", detail, item))
    await _add_secret(conn, ring, app_id, wanted.secret)
    await _audit(conn, actor, "webhook_app.added", wanted.platform, wanted.app, name=wanted.name)
    return await show_app(conn, wanted.platform, wanted.app), token


async def list_apps(conn: Connection) -> list[AppRow]:
    """Give every app."""
    return await apps.list_apps(conn)


async def show_app(conn: Connection, platform: PlatformName, app: str) -> AppRow:
    """Give an app. Raises ProblemError 404."""
    row = await apps.find_app(conn, platform, app)
    if row is None:
        raise _unknown(platform, app)
    return row


async def delete_app(conn: Connection, platform: PlatformName, app: str, actor: Actor) -> None:
    """Delete an app with its secrets; what it delivered stays. Raises ProblemError 404."""
    await apps.delete_app(conn, await _locked(conn, platform, app))
    await _audit(conn, actor, "webhook_app.deleted", platform, app)


async def add_secret(
    conn: Connection, ring: KeyRing, platform: PlatformName, app: str, secret: str, actor: Actor
) -> AppRow:
    """Add a secret beside the active one: from now on both may have signed.

    Raises ProblemError: 404, 409 when two are active.
    """
    app_id = await _locked(conn, platform, app)
    if not await _add_secret(conn, ring, app_id, secret):
        detail = f"App {app} of {platform} has two active secrets; retire the older one first."
        item = ProblemItem(where="/secret", what="would be the third", how="retire the older one first")
        raise ProblemError(problem("two_secrets_active", 409, "Two secrets are active", detail, item))
    await _audit(conn, actor, "webhook_app.secret_added", platform, app, hint=secret[-4:])
    return await show_app(conn, platform, app)


async def retire_secret(conn: Connection, platform: PlatformName, app: str, secret_id: UUID, actor: Actor) -> AppRow:
    """Accept a secret no more, and forget it. Raises ProblemError 404."""
    app_id = await _locked(conn, platform, app)
    if not await apps.retire_secret(conn, app_id, secret_id):
        detail = f"App {app} of {platform} has no active secret {secret_id}."
        item = ProblemItem(
            where="path:secret_id", what="names no active secret", how="use an id that the app's record shows as active"
        )
        raise ProblemError(problem("secret_unknown", 404, "Secret unknown", detail, item))
    await _audit(conn, actor, "webhook_app.secret_retired", platform, app, secret_id=secret_id)
    return await show_app(conn, platform, app)


async def reseal(conn: Connection, ring: KeyRing, actor: Actor) -> tuple[int, int]:
    """Put tokens and secrets of all apps under the active key; give how many were and how many do not open."""
    tokens: dict[UUID, SealedSecret] = {}
    moved: dict[UUID, SealedSecret] = {}
    failed = 0
    for app in await apps.lock_sealed_under_other_keys(conn, ring.active_id):
        parts = [(tokens, app.id, app.verify_token, token_aad(app.id))]
        parts += [(moved, key, sealed, secret_aad(app.id, key)) for key, sealed in app.secrets.items()]
        for into, key, sealed, aad in parts:
            try:
                rewrapped = ring.rewrap(sealed, aad=aad)
            except SealError as error:
                failed += 1
                _log.error("a webhook app's secret cannot be resealed: %s", error, extra={"app": app.app})
                continue
            if rewrapped is not None:
                into[key] = rewrapped
    await apps.replace_sealed(conn, tokens, moved)
    resealed = len(tokens) + len(moved)
    if resealed or failed:
        details = {"kek_id": ring.active_id, "resealed": resealed, "failed": failed}
        await apps.insert_audit(conn, actor, "webhook_apps.resealed", "webhook_apps", details)
    return resealed, failed


def token_aad(app_id: UUID) -> bytes:
    """Name the owner of an app's verify token."""
    return f"platformbus|webhook_apps|verify_token|{app_id}".encode()


def secret_aad(app_id: UUID, secret_id: UUID) -> bytes:
    """Name the owner of an app's secret."""
    return f"platformbus|webhook_app_secrets|secret|{app_id}|{secret_id}".encode()


async def _locked(conn: Connection, platform: PlatformName, app: str) -> UUID:
    app_id = await apps.lock_app(conn, platform, app)
    if app_id is None:
        raise _unknown(platform, app)
    return app_id


async def _add_secret(conn: Connection, ring: KeyRing, app_id: UUID, secret: str) -> bool:
    secret_id = uuid4()
    sealed = ring.seal(secret, aad=secret_aad(app_id, secret_id))
    return await apps.insert_secret(conn, app_id, secret_id, sealed, secret[-4:])


async def _audit(conn: Connection, actor: Actor, action: str, platform: str, app: str, **details: Any) -> None:
    await apps.insert_audit(conn, actor, action, f"{platform}/{app}", details)


def _unknown(platform: PlatformName, app: str) -> ProblemError:
    item = ProblemItem(
        where="path:app", what="names no app", how="use one that `GET /v1/webhook-apps` lists, or add it"
    )
    detail = f"There is no app {app} of {platform} here; those of the settings are not listed and cannot be changed."
    return ProblemError(problem("app_unknown", 404, "App unknown", detail, item))
