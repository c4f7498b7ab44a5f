"""`platformbus producers`: which source on Kafka may ask for what."""

from typing import Annotated
from urllib.parse import quote
from uuid import UUID

import typer

from libs.vocabulary import RequestKind
from services.cli.bus import bus_of
from services.cli.options import AsJson, DryRun

commands = typer.Typer(no_args_is_help=True, help="Producers: which `ce_source` on Kafka may ask for what.")

_COLUMNS = (("source", "SOURCE"), ("org_ids", "ORGANIZATIONS"), ("kinds", "KINDS"), ("active", "ACTIVE"))


@commands.command("set")
def set_producer(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(help="The `ce_source` of its events.")],
    organizations: Annotated[
        list[UUID] | None, typer.Option("--for", help="Organization that it may ask for; repeat. Left out: all.")
    ] = None,
    kinds: Annotated[
        list[RequestKind] | None,
        typer.Option("--kind", help="Kind that it may ask for; repeat. Left out: all there are."),
    ] = None,
    inactive: Annotated[bool, typer.Option("--inactive", help="It may ask for nothing any more.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let a source ask, or change what it may ask for: what is given replaces what was."""
    bus = bus_of(ctx, as_json)
    body = {
        "org_ids": [str(org_id) for org_id in organizations or ()],
        "kinds": [kind.value for kind in kinds or tuple(RequestKind)],
        "active": not inactive,
    }
    path = f"/v1/producers/{quote(source, safe='/')}"
    bus.out.record(bus.ask("ingest", "PUT", path, params={"dry_run": dry_run}, body=body))


@commands.command("list")
def list_producers(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List every source and what it may ask for."""
    bus = bus_of(ctx, as_json)
    bus.out.table(bus.ask("ingest", "GET", "/v1/producers")["items"], _COLUMNS, nothing="no producers")
