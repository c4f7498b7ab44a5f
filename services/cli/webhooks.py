"""`platformbus webhooks`: what platforms pushed, what became of it, and drills that push as a platform would."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from libs.vocabulary import PlatformName, WebhookStatus
from services.cli import webhook_apps, webhook_send
from services.cli.bus import Page, bus_of
from services.cli.errors import AskedWrongly
from services.cli.options import AsJson, DryRun, Limit, Organization

commands = typer.Typer(
    no_args_is_help=True, help="Webhooks: apps, deliveries, replays, drills, and what organizations got."
)
commands.add_typer(webhook_apps.commands, name="apps")
commands.command("send")(webhook_send.send)

_DELIVERIES = (
    ("id", "ID"),
    ("received_at", "RECEIVED"),
    ("platform", "PLATFORM"),
    ("app", "APP"),
    ("status", "STATUS"),
    ("reason", "REASON"),
    ("signature_valid", "SIGNED"),
    ("attempts", "ATTEMPTS"),
    ("next_attempt_at", "AGAIN AT"),
    ("body_bytes", "BYTES"),
)
_GOT = (
    ("event_id", "EVENT"),
    ("received_at", "RECEIVED"),
    ("change_type", "TYPE"),
    ("account", "ACCOUNT"),
    ("connection_id", "CONNECTION"),
    ("webhook_id", "DELIVERY"),
)
_DELIVERIES_PAGE = Page(rows="webhooks", cursor="cursor", following="next_cursor")
_GOT_PAGE = Page(rows="items", cursor="cursor", following="next_cursor")

Platform = Annotated[PlatformName | None, typer.Option("--platform", help="Only of this one.")]
App = Annotated[str | None, typer.Option("--app", help="Only for this app.")]
Status = Annotated[WebhookStatus | None, typer.Option("--status", help="Only in this state.")]
_FORMATS = ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z"]
Since = Annotated[datetime | None, typer.Option("--since", formats=_FORMATS, help="Only what came then or later.")]
Until = Annotated[datetime | None, typer.Option("--until", formats=_FORMATS, help="Only what came before then.")]


@commands.command("list")
def list_deliveries(
    ctx: typer.Context,
    status: Status = None,
    platform: Platform = None,
    app: App = None,
    refused: Annotated[
        bool | None, typer.Option("--refused/--signed", help="Only with a wrong signature, or only with a true one.")
    ] = None,
    retryable: Annotated[bool, typer.Option("--retryable", help="Only failed ones that are tried again.")] = False,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List deliveries of all organizations, newest first."""
    bus = bus_of(ctx, as_json)
    params = _window(platform, app, status, since, until) | {
        "signature_valid": None if refused is None else not refused,
        "retryable": True if retryable else None,
    }
    rows = bus.pages("webhook_receiver", "/v1/webhooks", limit=limit, page=_DELIVERIES_PAGE, params=params)
    bus.out.table(rows, _DELIVERIES, nothing="no webhooks")


@commands.command("show")
def show_delivery(
    ctx: typer.Context,
    webhook_id: Annotated[UUID, typer.Argument(help="Id of the delivery, as `list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Show one delivery: what came, what it tells of, who got it, and who did what with it."""
    bus = bus_of(ctx, as_json)
    bus.out.record(bus.ask("webhook_receiver", "GET", f"/v1/webhooks/{webhook_id}", for_all=True))


@commands.command("stats")
def show_stats(
    ctx: typer.Context,
    hours: Annotated[float, typer.Option("--hours", min=0.01, max=744, help="How far back.")] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Count deliveries by app and outcome."""
    bus = bus_of(ctx, as_json)
    answer = bus.ask("webhook_receiver", "GET", "/v1/webhooks/stats", params={"window_hours": hours}, for_all=True)
    columns = (
        ("platform", "PLATFORM"),
        ("app", "APP"),
        ("status", "STATUS"),
        ("signature_valid", "SIGNED"),
        ("rows", "DELIVERIES"),
        ("oldest_at", "OLDEST"),
    )
    bus.out.table(answer["stats"], columns, nothing="no webhooks")


@commands.command("replay")
def replay(
    ctx: typer.Context,
    webhook_ids: Annotated[list[UUID] | None, typer.Argument(metavar="[ID]...", help="These; else a window.")] = None,
    status: Status = None,
    platform: Platform = None,
    app: App = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Process deliveries again. What was published is not published again; what found nobody may find somebody."""
    bus = bus_of(ctx, as_json)
    window = {name: value for name, value in _window(platform, app, status, since, until).items() if value is not None}
    if bool(webhook_ids) == bool(window):
        raise AskedWrongly("name deliveries, or a window by --status, --platform, --app, --since or --until")
    body: dict[str, Any] = {"ids": [str(each) for each in webhook_ids]} if webhook_ids else window
    body["dry_run"] = dry_run
    whole: dict[str, Any] = {"matched": 0, "replayed": 0, "refused": [], "dry_run": dry_run}
    while True:
        answer = bus.ask("webhook_receiver", "POST", "/v1/webhooks:replay", body=body, for_all=True)
        whole = whole | {name: whole[name] + answer[name] for name in ("matched", "replayed", "refused")}
        if answer["next_cursor"] is None:
            break
        body["cursor"] = answer["next_cursor"]
        bus.out.remark(f"{whole['replayed']} replayed, and going on")
    bus.out.record(whole)
    if whole["refused"]:
        raise typer.Exit(1)


@commands.command("received")
def list_received(
    ctx: typer.Context,
    event_id: Annotated[str | None, typer.Argument(metavar="[EVENT]", help="Show this one with all it tells.")] = None,
    change_type: Annotated[str | None, typer.Option("--type", help="Only of this type, e.g. lead.created.")] = None,
    account: Annotated[str | None, typer.Option("--account", metavar="TYPE:ID", help="Only of this account.")] = None,
    connection: Annotated[UUID | None, typer.Option("--connection", help="Only through this one.")] = None,
    limit: Limit = 50,
    organization: Organization = None,
    as_json: AsJson = False,
) -> None:
    """List what an organization got, newest first, as its own systems see it."""
    bus = bus_of(ctx, as_json)
    if event_id is not None:
        bus.out.record(bus.ask("ingest", "GET", f"/v1/webhooks/{event_id}", organization=organization))
        return
    params = {
        "change_type": change_type,
        "account": account,
        "connection_id": None if connection is None else str(connection),
    }
    rows = bus.pages("ingest", "/v1/webhooks", limit=limit, page=_GOT_PAGE, params=params, organization=organization)
    if not bus.out.as_json:
        rows = [row | {"account": f"{row['account']['type']}:{row['account']['id']}"} for row in rows]
    bus.out.table(rows, _GOT, nothing="no webhooks")


def _window(
    platform: PlatformName | None,
    app: str | None,
    status: WebhookStatus | None,
    since: datetime | None,
    until: datetime | None,
) -> dict[str, Any]:
    return {
        "platform": platform and platform.value,
        "app": app,
        "status": status and status.value,
        "since": since and since.isoformat(),
        "until": until and until.isoformat(),
    }
