"""`platformbus batches`: what waits to be sent to a platform, and what sharing calls saved."""

from typing import Annotated, Any
from uuid import UUID

import typer

from libs.vocabulary import PlatformName
from services.cli.bus import Bus, bus_of
from services.cli.options import AsJson, DryRun, Organization

commands = typer.Typer(no_args_is_help=True, help="The batcher's queue: flush, stats, pause, resume.")

_COLUMNS = (
    ("platform", "PLATFORM"),
    ("state", "STATE"),
    ("pending", "PENDING"),
    ("processing", "PROCESSING"),
    ("completed", "COMPLETED"),
    ("failed", "FAILED"),
    ("skipped", "SKIPPED"),
    ("oldest_open_ask_seconds", "OLDEST (S)"),
    ("window_totals.asks", "ASKS SENT"),
    ("window_totals.http_calls", "HTTP CALLS"),
    ("window_totals.quota_units", "QUOTA UNITS"),
)

Platform = Annotated[PlatformName, typer.Argument(help="Which platform.")]


@commands.command("flush")
def flush(
    ctx: typer.Context,
    platform: Platform,
    connection: Annotated[UUID | None, typer.Option("--connection", help="Only this one; all when left out.")] = None,
    organization: Organization = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send now what only waits for company."""
    bus = bus_of(ctx, as_json)
    body = {
        "platform": platform.value,
        "connection_id": None if connection is None else str(connection),
        "dry_run": dry_run,
    }
    answer = bus.ask("batcher", "POST", "/v1/batches:flush", body=body, organization=organization)
    if as_json:
        bus.out.json(answer)
        return
    verb = "would make" if dry_run else "made"
    bus.out.done(f"{verb} {answer['calls_made_due']} calls due on {answer['connections']} connections")


@commands.command("stats")
def show_stats(
    ctx: typer.Context,
    platform: Annotated[PlatformName | None, typer.Option("--platform", help="Only this one.")] = None,
    hours: Annotated[float, typer.Option("--hours", min=0.01, max=744, help="How far back.")] = 24.0,
    organization: Organization = None,
    as_json: AsJson = False,
) -> None:
    """Show what waits, what ended lately, and what sharing calls saved."""
    bus = bus_of(ctx, as_json)
    params = {"platform": None if platform is None else platform.value, "hours": hours}
    stats = bus.ask("batcher", "GET", "/v1/batches/stats", params=params, organization=organization)
    if as_json:
        bus.out.json(stats)
        return
    bus.out.table([row | {"state": _state(row)} for row in stats["platforms"]], _COLUMNS, nothing="no platforms")


@commands.command("pause")
def pause(ctx: typer.Context, platform: Platform, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Stop sending for a platform, for all organizations; asks are queued on."""
    _set_paused(bus_of(ctx, as_json), platform, "pause", dry_run)


@commands.command("resume")
def resume(ctx: typer.Context, platform: Platform, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Send for a platform again."""
    _set_paused(bus_of(ctx, as_json), platform, "resume", dry_run)


def _set_paused(bus: Bus, platform: PlatformName, verb: str, dry_run: bool) -> None:
    if dry_run:
        stats = bus.ask("batcher", "GET", "/v1/batches/stats", params={"platform": platform.value})
        paused = any(row["paused"] for row in stats["platforms"])
        changes = paused is not (verb == "pause")
        words = f"would {verb} {platform.value}" if changes else f"{platform.value} is {verb}d already"
        bus.out.done(words, dry_run=True, changed=changes)
        return
    answer = bus.ask("batcher", "POST", f"/v1/batches:{verb}", body={"platform": platform.value})
    if bus.out.as_json:
        bus.out.json(answer)
    else:
        bus.out.done(f"{platform.value} is {verb}d" + ("" if answer["changed"] else " already"))


def _state(row: dict[str, Any]) -> str:
    if not row["enabled"]:
        return "switched off"
    return "paused" if row["paused"] else "sending"
