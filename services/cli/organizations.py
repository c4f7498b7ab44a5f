"""`platformbus organizations`: for whom the bus works."""

from typing import Annotated

import typer

from services.cli.bus import bus_of, items_of
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
    params = {"dry_run": dry_run or None}
    bus.out.record(bus.ask("ingest", "POST", "/v1/organizations", params=params, body={"name": name}))


@commands.command("list")
def list_organizations(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the organizations that the key may see."""
    bus = bus_of(ctx, as_json)
    bus.out.table(items_of(bus.ask("ingest", "GET", "/v1/organizations")), _COLUMNS, nothing="no organizations")
