"""`platformbus organizations`: for whom the bus works."""

from typing import Annotated, Any
from uuid import UUID

import typer

from services.cli.bus import bus_of
from services.cli.errors import AskedWrongly
from services.cli.options import AsJson, DryRun

commands = typer.Typer(no_args_is_help=True, help="Organizations: for whom the bus works.")

_COLUMNS = (("org_id", "ID"), ("name", "NAME"), ("active", "ACTIVE"), ("created_at", "CREATED"))


@commands.command("create")
def create_organization(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name, for people.")],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Create an organization."""
    bus = bus_of(ctx, as_json)
    params = {"dry_run": dry_run}
    bus.out.record(bus.ask("ingest", "POST", "/v1/organizations", params=params, body={"name": name}))


@commands.command("list")
def list_organizations(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List all organizations."""
    bus = bus_of(ctx, as_json)
    bus.out.table(bus.ask("ingest", "GET", "/v1/organizations")["items"], _COLUMNS, nothing="no organizations")


@commands.command("set")
def set_organization(
    ctx: typer.Context,
    org_id: Annotated[UUID, typer.Argument(help="Id of the organization, as `list` shows it.")],
    name: Annotated[str | None, typer.Option("--name", help="Its new name.")] = None,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="The keys of an inactive one open nothing.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Rename an organization, close it or open it again."""
    bus = bus_of(ctx, as_json)
    body: dict[str, Any] = {field: value for field, value in (("name", name), ("active", active)) if value is not None}
    if not body:
        raise AskedWrongly("say what to change: --name, --active or --inactive")
    bus.out.record(bus.ask("ingest", "PATCH", f"/v1/organizations/{org_id}", params={"dry_run": dry_run}, body=body))
