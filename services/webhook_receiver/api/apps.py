"""Operators' routes for apps that platforms push to. No answer ever holds a secret."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from libs.runtime.admin import DryRun, OperatorDep
from libs.vocabulary import PlatformName
from services.webhook_receiver.api.deps import ApiDeps, Body, actor_of, changing_apps
from services.webhook_receiver.models import AppRow, NewApp
from services.webhook_receiver.usecases import apps


def _plain_secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be printable ASCII without spaces, as the platform shows it")
    return value


TRIED: dict[str, Any] = {"description": "With `dry_run`: what would be answered; nothing was changed"}


def _plain_text(value: str) -> str:
    if not value.isprintable() or not value.strip():
        raise ValueError("must be printable text")
    return value.strip()


AppWord = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
AppPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
Secret = Annotated[SecretStr, Field(min_length=8, max_length=1_000), AfterValidator(_plain_secret)]


class AppIn(Body):
    """An app to add."""

    platform: PlatformName
    app: AppWord
    """The last word of its address; for Meta the app id."""
    name: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain_text)] | None = None
    secret: Secret
    """What the platform signs with."""
    verify_token: Secret | None = None
    """What the platform sends in its handshake; None: one is made."""


class SecretIn(Body):
    """A secret to accept beside the one that is active."""

    secret: Secret


class SecretOut(BaseModel):
    """A secret, without it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    hint: str
    status: Literal["active", "retired"]
    kek_id: str | None
    created_at: datetime
    retired_at: datetime | None


class AppOut(BaseModel):
    """An app, without its secrets."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    platform: PlatformName
    app: str
    name: str
    path: str
    """Where the platform pushes to, at this service's public address."""
    secrets: list[SecretOut]
    kek_id: str
    created_at: datetime
    updated_at: datetime
    in_settings: bool
    """True: the settings name it too. As long as it is kept here they do not count for it."""
    dry_run: bool = False
    """True: this is what would be; nothing was kept."""


class AppAddedOut(AppOut):
    """An app that was just added."""

    verify_token: str | None
    """For the platform's settings, shown this once; None: it is the one that was given."""


class AppsOut(BaseModel):
    """Every app that operators added; those of the settings are not listed."""

    apps: list[AppOut]


class AppDeletedOut(BaseModel):
    """An app that was deleted."""

    platform: PlatformName
    app: str
    deleted: bool = True
    in_settings: bool
    """True: the settings name it too, and count for it from now on: what their secret signed is accepted."""
    dry_run: bool = False


class ResealOut(BaseModel):
    """What resealing did, or with `dry_run` would have done."""

    kek_id: str
    resealed: int
    failed: int
    """So many do not open; the log names their apps."""
    dry_run: bool


def apps_router(deps: ApiDeps) -> APIRouter:
    """Build the routes of apps."""
    router = APIRouter(prefix="/v1/webhook-apps", tags=["webhook apps"])
    _add_reading(router, deps)
    _add_changing(router, deps)
    _add_secrets(router, deps)
    _add_resealing(router, deps)
    return router


def _add_reading(router: APIRouter, deps: ApiDeps) -> None:
    @router.get("")
    async def get_apps(who: OperatorDep) -> AppsOut:
        """Every app that operators added, with the hints of its secrets."""
        async with deps.database.acquire() as conn:
            return AppsOut(apps=[_shown(deps, row) for row in await apps.list_apps(conn)])

    @router.get("/{platform}/{app}")
    async def get_app(who: OperatorDep, platform: PlatformName, app: AppPath) -> AppOut:
        """One app."""
        async with deps.database.acquire() as conn:
            return _shown(deps, await apps.show_app(conn, platform, app))


def _add_changing(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("", status_code=201, responses={200: TRIED | {"model": AppAddedOut}})
    async def post_app(who: OperatorDep, body: AppIn, response: Response, dry_run: DryRun = False) -> AppAddedOut:
        """Add an app with its first secret; its deliveries are accepted within two seconds, everywhere.

        What the settings say of it counts no more from then on: add it with the secret that is in use.
        """
        given = body.verify_token.get_secret_value() if body.verify_token else None
        wanted = NewApp(body.platform, body.app, body.name or body.app, body.secret.get_secret_value(), given)
        async with changing_apps(deps, dry_run) as conn:
            row, token = await apps.add_app(conn, deps.ring, wanted, actor_of(who))
        if dry_run:
            response.status_code = 200
        shown = None if given is not None or dry_run else token
        return AppAddedOut(**_shown(deps, row, dry_run=dry_run).model_dump(), verify_token=shown)

    @router.delete("/{platform}/{app}")
    async def delete_app(
        who: OperatorDep, platform: PlatformName, app: AppPath, dry_run: DryRun = False
    ) -> AppDeletedOut:
        """Accept nothing for the app any more, unless the settings name it too; what it delivered stays."""
        async with changing_apps(deps, dry_run) as conn:
            await apps.delete_app(conn, platform, app, actor_of(who))
        named = deps.in_settings(platform.value, app)
        return AppDeletedOut(platform=platform, app=app, in_settings=named, dry_run=dry_run)


def _add_secrets(router: APIRouter, deps: ApiDeps) -> None:
    @router.post("/{platform}/{app}/secrets", status_code=201, responses={200: TRIED | {"model": AppOut}})
    async def post_secret(
        who: OperatorDep,
        platform: PlatformName,
        app: AppPath,
        body: SecretIn,
        response: Response,
        dry_run: DryRun = False,
    ) -> AppOut:
        """Accept a second secret, so that the platform's can be changed without a gap."""
        async with changing_apps(deps, dry_run) as conn:
            secret = body.secret.get_secret_value()
            row = await apps.add_secret(conn, deps.ring, platform, app, secret, actor_of(who))
        if dry_run:
            response.status_code = 200
        return _shown(deps, row, dry_run=dry_run)

    @router.delete("/{platform}/{app}/secrets/{secret_id}")
    async def delete_secret(
        who: OperatorDep, platform: PlatformName, app: AppPath, secret_id: UUID, dry_run: DryRun = False
    ) -> AppOut:
        """Retire a secret: what it signed is refused from now on, and it is forgotten."""
        async with changing_apps(deps, dry_run) as conn:
            row = await apps.retire_secret(conn, platform, app, secret_id, actor_of(who))
        return _shown(deps, row, dry_run=dry_run)


def _add_resealing(router: APIRouter, deps: ApiDeps) -> None:
    @router.post(":reseal")
    async def post_reseal(who: OperatorDep, dry_run: DryRun = False) -> ResealOut:
        """Put secrets and verify tokens of all apps under the active key-encryption key."""
        async with changing_apps(deps, dry_run) as conn:
            resealed, failed = await apps.reseal(conn, deps.ring, actor_of(who))
        return ResealOut(kek_id=deps.ring.active_id, resealed=resealed, failed=failed, dry_run=dry_run)


def _shown(deps: ApiDeps, row: AppRow, *, dry_run: bool = False) -> AppOut:
    return AppOut(
        id=row.id,
        platform=row.platform,
        app=row.app,
        name=row.name,
        path=f"/webhooks/{row.platform.value}/{row.app}",
        secrets=[SecretOut.model_validate(secret) for secret in row.secrets],
        kek_id=row.kek_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        in_settings=deps.in_settings(row.platform.value, row.app),
        dry_run=dry_run,
    )
