"""`platformbus migrate`: roles and schemas. Touches the databases directly, as each service's owner."""

from typing import Annotated

import typer

from libs.postgres.migrations import migrate_down, migrate_up, migration_status
from libs.postgres.roles import apply_roles, missing_roles
from services.cli.bus import Bus, bus_of, one_service
from services.cli.errors import AskedWrongly
from services.cli.options import AsJson, DryRun
from services.cli.settings import ServiceName

commands = typer.Typer(no_args_is_help=True, help="Bring the services' schemas up to date, or back.")

_STATUS = (("service", "SERVICE"), ("applied", "APPLIED"), ("pending", "PENDING"), ("unknown", "OF NEWER CODE"))
_MOVED = (("service", "SERVICE"), ("migration", "MIGRATION"))

OneService = Annotated[
    str | None,
    typer.Argument(metavar="[SERVICE]", help="ingest, asset_sync, batcher or webhook_receiver; else all."),
]


@commands.command("up")
def up(ctx: typer.Context, service: OneService = None, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Apply what is pending. Two at once are safe: the second waits, then finds nothing to do."""
    bus = bus_of(ctx, as_json)
    rows = []
    for name in one_service(service):
        dsn = _owner_dsn(bus, name)
        moved = bus.run(migration_status(name, dsn)).pending if dry_run else bus.run(migrate_up(name, dsn))
        rows += [{"service": name, "migration": file} for file in moved]
    if dry_run and rows:
        bus.out.remark("would apply:")
    bus.out.table(rows, _MOVED, nothing="everything is up to date")


@commands.command("down")
def down(
    ctx: typer.Context,
    service: Annotated[str, typer.Argument(help="ingest, asset_sync, batcher or webhook_receiver.")],
    steps: Annotated[int, typer.Option("--steps", min=1, help="How many, the highest numbers first.")] = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: taking a table back deletes its rows.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take back the last migrations of one service. What was in the tables is lost."""
    bus = bus_of(ctx, as_json)
    (name,) = one_service(service)
    dsn = _owner_dsn(bus, name)
    planned = tuple(reversed(bus.run(migration_status(name, dsn)).applied))[:steps]
    if planned and not dry_run and not yes:
        bus.out.remark(f"takes back {', '.join(planned)} of {name}; the rows of their tables are lost")
        if not typer.confirm("Go on?", err=True):
            raise AskedWrongly("nothing was done; say --yes to do it without being asked")
    moved = planned if dry_run else bus.run(migrate_down(name, dsn, steps))
    if dry_run and moved:
        bus.out.remark("would take back:")
    bus.out.table([{"service": name, "migration": file} for file in moved], _MOVED, nothing="nothing is applied")


@commands.command("status")
def show_status(ctx: typer.Context, service: OneService = None, as_json: AsJson = False) -> None:
    """Show how many migrations are applied, and which are pending. Ends with 1 when some are."""
    bus = bus_of(ctx, as_json)
    rows = []
    for name in one_service(service):
        status = bus.run(migration_status(name, _owner_dsn(bus, name)))
        rows.append(
            {
                "service": name,
                "applied": list(status.applied) if as_json else len(status.applied),
                "pending": list(status.pending) if as_json else ", ".join(status.pending),
                "unknown": list(status.unknown) if as_json else ", ".join(status.unknown),
            }
        )
    bus.out.table(rows, _STATUS)
    if any(row["pending"] for row in rows):
        raise typer.Exit(1)


@commands.command("roles")
def make_roles(ctx: typer.Context, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Make each service's three roles and its schema, as deploy/postgres/roles.sql says. Sets no password."""
    bus = bus_of(ctx, as_json)
    dsn = bus.dsn("POSTGRES_ADMIN_DSN")
    missing = bus.run(missing_roles(dsn) if dry_run else apply_roles(dsn))
    verb = "would create" if dry_run else "created"
    bus.out.done(
        f"{verb} {', '.join(missing)}"
        if missing
        else "every role and schema was there; their limits and rights are as declared",
        created=list(missing),
        dry_run=dry_run,
    )


def _owner_dsn(bus: Bus, service: ServiceName) -> str:
    return bus.dsn(f"{service.upper()}_OWNER_DSN")
