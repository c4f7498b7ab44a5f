"""`platformbus dead-letters`: records that did not fit their contract, and what to do with them."""

import typer

from services.cli.bus import bus_of, one_service
from services.cli.options import AsJson, DryRun, RouteLimit, Service
from services.cli.records import Reason, RecordId, ValueFile, change, find, read_value

commands = typer.Typer(no_args_is_help=True, help="Records that did not fit their contract: look, edit, redrive, drop.")

_PATH = "/admin/dead-letters"
_COLUMNS = (
    ("service", "SERVICE"),
    ("id", "ID"),
    ("topic", "TOPIC"),
    ("partition", "PARTITION"),
    ("offset", "OFFSET"),
    ("created_at", "SINCE"),
    ("reason", "REASON"),
)


@commands.command("list")
def list_letters(ctx: typer.Context, service: Service = None, limit: RouteLimit = 50, as_json: AsJson = False) -> None:
    """List the open ones, oldest first."""
    bus = bus_of(ctx, as_json)
    rows = [
        letter | {"service": name}
        for name in one_service(service)
        for letter in bus.ask(name, "GET", _PATH, params={"limit": limit})
    ]
    bus.out.table(rows, _COLUMNS, nothing="no open dead letters")


@commands.command("show")
def show_letter(ctx: typer.Context, record_id: RecordId, service: Service = None, as_json: AsJson = False) -> None:
    """Show one with its headers, body and history; secrets are taken out."""
    bus = bus_of(ctx, as_json)
    name, letter = find(bus, _PATH, record_id, service)
    bus.out.record({"service": name} | letter)


@commands.command("edit")
def edit_letter(
    ctx: typer.Context,
    record_id: RecordId,
    value: ValueFile,
    service: Service = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give one another body, which must fit its contract; a redrive then takes it. The original is kept."""
    change(bus_of(ctx, as_json), "PATCH", _PATH, record_id, service, dry_run, body={"value": read_value(value)})


@commands.command("redrive")
def redrive_letter(
    ctx: typer.Context, record_id: RecordId, service: Service = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Run our own handler on the record again, under its own event id; it stays open when that fails."""
    change(bus_of(ctx, as_json), "POST", _PATH, record_id, service, dry_run, verb="/redrive")


@commands.command("drop")
def drop_letter(
    ctx: typer.Context,
    record_id: RecordId,
    reason: Reason,
    service: Service = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give one up; it is kept, with the reason."""
    bus = bus_of(ctx, as_json)
    change(bus, "POST", _PATH, record_id, service, dry_run, verb="/drop", body={"reason": reason})
