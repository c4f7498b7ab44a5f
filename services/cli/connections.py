"""`platformbus connections`: the credentials that platforms gave. A token is never an argument of the command."""

import os
import sys
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

import typer

from libs.vocabulary import ConnectionStatus, PlatformName
from services.cli.bus import Bus, Page, bus_of
from services.cli.errors import AskedWrongly
from services.cli.options import AsJson, DryRun, Limit, Organization

commands = typer.Typer(
    no_args_is_help=True,
    help="Connections to platforms: add, list, show, replace, disconnect, and whose webhooks they get.",
)

_COLUMNS = (
    ("id", "ID"),
    ("platform", "PLATFORM"),
    ("name", "NAME"),
    ("status", "STATUS"),
    ("app_id", "APP"),
    ("token_hint", "TOKEN ENDS IN"),
    ("token_expires_at", "EXPIRES"),
    ("accounts", "ACCOUNTS"),
    ("version", "VERSION"),
    ("updated_at", "UPDATED"),
)

_PAGE = Page(rows="connections", cursor="after", following="next_after")

Accounts = Annotated[
    list[str] | None,
    typer.Option(
        "--account",
        metavar="TYPE:ID",
        help="An account whose webhooks belong to the connection, e.g. page:123 or ad_account:act_9; repeatable. "
        "Only a key of the bus's own operators may name any.",
    ),
]
ConnectionId = Annotated[UUID, typer.Argument(help="Id of the connection, as `list` shows it.")]
TokenStdin = Annotated[bool, typer.Option("--token-stdin", help="Read the token from standard input.")]
TokenEnv = Annotated[
    str | None, typer.Option("--token-env", metavar="NAME", help="Read the token from this environment variable.")
]


@commands.command("add")
def add_connection(
    ctx: typer.Context,
    platform: Annotated[PlatformName, typer.Argument(help="Which platform.")],
    name: Annotated[str, typer.Option("--name", help="What it is for, for people.")],
    app: Annotated[
        str | None, typer.Option("--app", help="Id of the platform's app that the token belongs to.")
    ] = None,
    token_stdin: TokenStdin = False,
    token_env: TokenEnv = None,
    account: Accounts = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key again makes no second connection.")
    ] = None,
    organization: Organization = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Keep a token that a platform gave. The platform is asked what it is before it is sealed and kept."""
    bus = bus_of(ctx, as_json)
    named = {"accounts": [_account(text) for text in account]} if account else {}
    token = _token(bus, token_stdin, token_env)
    bus.out.record(
        bus.ask(
            "asset_sync",
            "POST",
            "/v1/connections",
            params={"dry_run": dry_run},
            body={"platform": platform.value, "name": name, "app_id": app, "access_token": token} | named,
            headers={"Idempotency-Key": idempotency_key} if idempotency_key else {},
            organization=organization,
        )
    )


@commands.command("list")
def list_connections(
    ctx: typer.Context,
    platform: Annotated[PlatformName | None, typer.Option("--platform", help="Only of this one.")] = None,
    status: Annotated[ConnectionStatus | None, typer.Option("--status", help="Only in this state.")] = None,
    limit: Limit = 50,
    organization: Organization = None,
    as_json: AsJson = False,
) -> None:
    """List connections; tokens are never shown."""
    bus = bus_of(ctx, as_json)
    params = {"platform": platform and platform.value, "status": status and status.value}
    rows = bus.pages("asset_sync", "/v1/connections", limit=limit, page=_PAGE, params=params, organization=organization)
    if not bus.out.as_json:
        rows = [row | {"accounts": _accounts_text(row)} for row in rows]
    bus.out.table(rows, _COLUMNS, nothing="no connections")


@commands.command("show")
def show_connection(
    ctx: typer.Context, connection_id: ConnectionId, organization: Organization = None, as_json: AsJson = False
) -> None:
    """Show one connection; its token is never shown."""
    bus = bus_of(ctx, as_json)
    bus.out.record(bus.ask("asset_sync", "GET", f"/v1/connections/{connection_id}", organization=organization))


@commands.command("replace-token")
def replace_token(
    ctx: typer.Context,
    connection_id: ConnectionId,
    token_stdin: TokenStdin = False,
    token_env: TokenEnv = None,
    organization: Organization = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Put a new token in the place of a connection's old one."""
    bus = bus_of(ctx, as_json)
    token = _token(bus, token_stdin, token_env)
    path = f"/v1/connections/{connection_id}/token"
    body = {"access_token": token}
    params = {"dry_run": dry_run}
    bus.out.record(bus.ask("asset_sync", "POST", path, params=params, body=body, organization=organization))


@commands.command("replace-accounts")
def replace_accounts(
    ctx: typer.Context,
    connection_id: ConnectionId,
    account: Accounts = None,
    none: Annotated[bool, typer.Option("--none", help="No account at all.")] = False,
    organization: Organization = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Say which accounts' webhooks belong to a connection; those named before and not now no longer do."""
    bus = bus_of(ctx, as_json)
    if bool(account) == none:
        raise AskedWrongly("name the accounts with --account TYPE:ID, or say --none")
    path = f"/v1/connections/{connection_id}/accounts"
    body = {"accounts": [_account(text) for text in account or ()]}
    params = {"dry_run": dry_run}
    bus.out.record(bus.ask("asset_sync", "PUT", path, params=params, body=body, organization=organization))


@commands.command("disconnect")
def disconnect(
    ctx: typer.Context,
    connection_id: ConnectionId,
    forget: Annotated[bool, typer.Option("--forget", help="Delete the connection itself too.")] = False,
    organization: Organization = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Destroy a connection's token: nothing is called through it any more."""
    bus = bus_of(ctx, as_json)
    path = f"/v1/connections/{connection_id}"
    params = {"forget": forget, "dry_run": dry_run}
    bus.out.record(bus.ask("asset_sync", "DELETE", path, params=params, organization=organization))


@commands.command("reseal")
def reseal(ctx: typer.Context, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Put every token under the active key-encryption key; `secrets rotate-kek` does this as its last step."""
    bus = bus_of(ctx, as_json)
    done = reseal_all(bus, dry_run=dry_run)
    bus.out.record(done)
    if done["failed"] and not dry_run:
        raise typer.Exit(1)


def reseal_all(bus: Bus, *, dry_run: bool = False) -> dict[str, Any]:
    """Ask for passes until nothing more can be resealed, and sum them; `failed` tokens do not open."""
    resealed = 0
    while True:
        answer: dict[str, Any] = bus.ask("asset_sync", "POST", "/v1/connections:reseal", params={"dry_run": dry_run})
        resealed += answer["resealed"]
        # Those that fail remain for ever: a pass that moved nothing was the last.
        if dry_run or not answer["remaining"] or not answer["resealed"]:
            return answer | {"resealed": resealed}
        bus.out.remark(f"{resealed} resealed, {answer['remaining']} to go")


def _account(text: str) -> dict[str, str]:
    kind, _, account_id = text.partition(":")
    if not kind or not account_id:
        raise AskedWrongly(f"an account is written TYPE:ID, e.g. page:123, not {text!r}")
    return {"type": kind, "id": account_id}


def _accounts_text(row: Mapping[str, Any]) -> str:
    return " ".join(f"{account['type']}:{account['id']}" for account in row.get("accounts", ()))


def _token(bus: Bus, from_stdin: bool, variable: str | None) -> str:
    """Read the token from where it was said to be; a person at a terminal is asked, without an echo."""
    if from_stdin and variable is not None:
        raise AskedWrongly("the token comes from one place: --token-stdin or --token-env")
    if variable is not None:
        token = os.environ.get(variable, "")
        if not token:
            raise AskedWrongly(f"the environment variable {variable} is not set or empty")
    elif from_stdin:
        token = sys.stdin.read()
    elif sys.stdin.isatty():
        token = typer.prompt("Token", hide_input=True, err=True)
    else:
        raise AskedWrongly("say where the token is: --token-stdin or --token-env NAME")
    token = token.strip()
    if not token:
        raise AskedWrongly("the token is empty")
    return token
