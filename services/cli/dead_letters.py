"""`platformbus dead-letters`: records that did not fit their contract, and what to do with them."""

from typing import Annotated, Any
from uuid import UUID

import typer

from services.cli.bus import Bus, bus_of, one_service
from services.cli.errors import Failed
from services.cli.options import AsJson, DryRun, RouteLimit, Service
from services.cli.settings import ServiceName

commands = typer.Typer(no_args_is_help=True, help="Records that did not fit their contract: look, redrive, drop.")

_COLUMNS = (
    ("service", "SERVICE"),
    ("id", "ID"),
    ("topic", "TOPIC"),
    ("partition", "PARTITION"),
    ("offset", "OFFSET"),
    ("created_at", "SINCE"),
    ("reason", "REASON"),
)

LetterId = Annotated[UUID, typer.Argument(help="Id of the dead letter, as `list` shows it.")]


@commands.command("list")
def list_letters(ctx: typer.Context, service: Service = None, limit: RouteLimit = 50, as_json: AsJson = False) -> None:
    """List the open ones, oldest first."""
    bus = bus_of(ctx, as_json)
    rows = [
        letter | {"service": name}
        for name in one_service(service)
        for letter in bus.ask(name, "GET", "/admin/dead-letters", params={"limit": limit})
    ]
    bus.out.table(rows, _COLUMNS, nothing="no open dead letters")


@commands.command("show")
def show_letter(ctx: typer.Context, letter_id: LetterId, service: Service = None, as_json: AsJson = False) -> None:
    """Show one with its headers and body; secrets are taken out."""
    bus = bus_of(ctx, as_json)
    name, letter = _find(bus, letter_id, service)
    bus.out.record({"service": name} | letter)


@commands.command("redrive")
def redrive_letter(
    ctx: typer.Context, letter_id: LetterId, service: Service = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Run our own handler on the record again, under its own event id; it stays open when that fails."""
    bus = bus_of(ctx, as_json)
    name, _ = _find(bus, letter_id, service)
    bus.out.change(bus.ask(name, "POST", f"/admin/dead-letters/{letter_id}/redrive", params={"dry_run": dry_run}))


@commands.command("drop")
def drop_letter(
    ctx: typer.Context,
    letter_id: LetterId,
    reason: Annotated[str, typer.Option("--reason", help="Why it is given up; kept with it.")],
    service: Service = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give one up; it is kept, with the reason."""
    bus = bus_of(ctx, as_json)
    name, _ = _find(bus, letter_id, service)
    answer = bus.ask(
        name, "POST", f"/admin/dead-letters/{letter_id}/drop", params={"dry_run": dry_run}, body={"reason": reason}
    )
    bus.out.change(answer)


def _find(bus: Bus, letter_id: UUID, service: str | None) -> tuple[ServiceName, dict[str, Any]]:
    """Look the letter up where it is; ids are unique over all services."""
    names = one_service(service)
    for name in names:
        try:
            return name, bus.ask(name, "GET", f"/admin/dead-letters/{letter_id}")
        except Failed as error:
            if error.document.get("status") != 404 or name == names[-1]:
                raise
    raise Failed(f"no service has a dead letter {letter_id}")
