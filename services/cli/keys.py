"""`platformbus keys`: who may ask. A key's text is shown once, when it is made, and kept nowhere."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import typer

from libs.vocabulary import Role
from services.cli.bootstrap import bootstrap_key
from services.cli.bus import bus_of
from services.cli.errors import AskedWrongly
from services.cli.options import AsJson, DryRun, Organization

commands = typer.Typer(no_args_is_help=True, help="API keys: create, list, revoke, and the first one.")

_COLUMNS = (
    ("key_id", "ID"),
    ("name", "NAME"),
    ("role", "ROLE"),
    ("org_id", "ORGANIZATION"),
    ("hint", "ENDS IN"),
    ("expires_at", "EXPIRES"),
    ("revoked_at", "REVOKED"),
    ("created_at", "CREATED"),
)


@commands.command("create")
def create_key(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is for, for people.")],
    role: Annotated[Role, typer.Option("--role", help="What it may do.")] = Role.API_USER,
    organization: Organization = None,
    platform: Annotated[bool, typer.Option("--platform", help="A key of the bus's operators (super_admin).")] = False,
    expires_in_days: Annotated[int | None, typer.Option("--expires-in-days", min=1, help="Else it never does.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, once."""
    bus = bus_of(ctx, as_json)
    if platform and organization:
        raise AskedWrongly("a key is the bus's operators' or an organization's: give --platform or --organization")
    body: dict[str, Any] = {"name": name, "role": (Role.SUPER_ADMIN if platform else role).value}
    if expires_in_days is not None:
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=expires_in_days)).isoformat()
    bus.out.record(
        bus.ask(
            "ingest",
            "POST",
            "/v1/keys",
            params={"dry_run": dry_run},
            body=body,
            organization=organization,
            for_all=platform,
        )
    )
    if not dry_run:
        bus.out.remark("the key is shown this once; keep it in a safe place")


@commands.command("list")
def list_keys(
    ctx: typer.Context,
    organization: Organization = None,
    everything: Annotated[bool, typer.Option("--all", help="Of all organizations, and the operators' own.")] = False,
    as_json: AsJson = False,
) -> None:
    """List keys, revoked ones too."""
    bus = bus_of(ctx, as_json)
    answer = bus.ask("ingest", "GET", "/v1/keys", organization=organization, for_all=everything)
    bus.out.table(answer["items"], _COLUMNS, nothing="no keys")


@commands.command("revoke")
def revoke_key(
    ctx: typer.Context,
    key_id: Annotated[UUID, typer.Argument(help="Id of the key, as `list` shows it.")],
    organization: Organization = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let a key open nothing any more, within moments, everywhere."""
    bus = bus_of(ctx, as_json)
    path = f"/v1/keys/{key_id}/revoke"
    # Its id is enough: an operator need not know whose key it is.
    everywhere = organization is None
    bus.out.record(
        bus.ask("ingest", "POST", path, params={"dry_run": dry_run}, organization=organization, for_all=everywhere)
    )


@commands.command("bootstrap")
def bootstrap(
    ctx: typer.Context,
    name: Annotated[str, typer.Option("--name", help="What it is for, for people.")] = "first key",
    force: Annotated[bool, typer.Option("--force", help="Also when such a key exists: that one is lost.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make the first key of the bus's operators, in ingest's database (INGEST_WORKER_DSN), and show it once."""
    bus = bus_of(ctx, as_json)
    dsn = bus.dsn("INGEST_WORKER_DSN")
    key, made = bus.run(bootstrap_key(dsn, name=name, force=force, dry_run=dry_run))
    if dry_run:
        bus.out.done(f"would make a key of the bus's operators, named {name!r}", dry_run=True)
        return
    shown = {"key": made.text, "key_id": str(key.key_id), "name": key.name, "role": key.role.value, "org_id": None}
    bus.out.record(shown)
    bus.out.remark("the key is shown this once; keep it in a safe place, and in PLATFORMBUS_KEY for this command")
