"""`platformbus parked`: records that failed, what waits behind them, and what to do with them."""

from typing import Annotated

import typer

from services.cli.bus import bus_of, one_service
from services.cli.options import AsJson, DryRun, RouteLimit, Service
from services.cli.records import Reason, RecordId, ValueFile, change, find, read_value

commands = typer.Typer(
    no_args_is_help=True, help="Records that failed, with what waits behind them: look, edit, redrive, drop."
)

_PATH = "/admin/parked"
_COLUMNS = (
    ("service", "SERVICE"),
    ("id", "ID"),
    ("topic", "TOPIC"),
    ("key", "KEY"),
    ("waiting", "RECORDS"),
    ("created_at", "SINCE"),
    ("key_status", "KEY IS"),
    ("key_attempts", "ATTEMPTS"),
    ("next_attempt_at", "NEXT AT"),
    ("error", "ERROR"),
)


@commands.command("list")
def list_parked(
    ctx: typer.Context,
    topic: Annotated[str | None, typer.Option("--topic", help="Only of this topic.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="All records of this blocked key, in order.")] = None,
    service: Service = None,
    limit: RouteLimit = 50,
    as_json: AsJson = False,
) -> None:
    """List blocked keys, each with the record that is tried next; those that are blocked for longest first."""
    bus = bus_of(ctx, as_json)
    params = {"topic": topic, "key": key, "limit": limit}
    rows = [
        parked | {"service": name}
        for name in one_service(service)
        for parked in bus.ask(name, "GET", _PATH, params=params)
    ]
    bus.out.table(rows, _COLUMNS, nothing="nothing is parked")


@commands.command("show")
def show_parked(ctx: typer.Context, record_id: RecordId, service: Service = None, as_json: AsJson = False) -> None:
    """Show one record with its headers, body and history; secrets are taken out."""
    bus = bus_of(ctx, as_json)
    name, parked = find(bus, _PATH, record_id, service)
    bus.out.record({"service": name} | parked)


@commands.command("edit")
def edit_parked(
    ctx: typer.Context,
    record_id: RecordId,
    value: ValueFile,
    service: Service = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give one another body, which must fit its contract; the next replay takes it. The original is kept."""
    change(bus_of(ctx, as_json), "PATCH", _PATH, record_id, service, dry_run, body={"value": read_value(value)})


@commands.command("redrive")
def redrive_parked(
    ctx: typer.Context, record_id: RecordId, service: Service = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Replay its key now, in order from the first record, with attempts counted anew. Ends with 1 if it still fails."""
    change(bus_of(ctx, as_json), "POST", _PATH, record_id, service, dry_run, verb="/redrive")


@commands.command("drop")
def drop_parked(
    ctx: typer.Context,
    record_id: RecordId,
    reason: Reason,
    service: Service = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give one up; it is kept, with the reason. When it was the next to be tried, its key goes on at once."""
    bus = bus_of(ctx, as_json)
    change(bus, "POST", _PATH, record_id, service, dry_run, verb="/drop", body={"reason": reason})
