"""`platformbus webhooks apps`: the apps that platforms push for. A secret is never an argument of the command."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from libs.vocabulary import PlatformName
from services.cli.bus import bus_of
from services.cli.errors import AskedWrongly
from services.cli.options import AsJson, DryRun

commands = typer.Typer(no_args_is_help=True, help="Apps that platforms push for: add, list, show, rotate, retire.")

_PATH = "/v1/webhook-apps"
_COLUMNS = (
    ("platform", "PLATFORM"),
    ("app", "APP"),
    ("name", "NAME"),
    ("path", "PATH"),
    ("active", "SECRETS END IN"),
    ("updated_at", "UPDATED"),
)

AppWord = Annotated[str, typer.Argument(metavar="APP", help="The platform's id of the app.")]
Platform = Annotated[PlatformName, typer.Option("--platform", help="Which platform.")]
SecretStdin = Annotated[bool, typer.Option("--secret-stdin", help="Read the app's secret from standard input.")]
SecretFile = Annotated[
    Path | None, typer.Option("--secret-file", metavar="FILE", help="Read the app's secret from this file.")
]
SecretEnv = Annotated[
    str | None, typer.Option("--secret-env", metavar="NAME", help="Read the app's secret from this variable.")
]


@commands.command("list")
def list_apps(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the apps that operators added; those that only the settings name are not listed."""
    bus = bus_of(ctx, as_json)
    rows: list[dict[str, Any]] = bus.ask("webhook_receiver", "GET", _PATH, for_all=True)["apps"]
    if not bus.out.as_json:
        rows = [row | {"active": _active_hints(row)} for row in rows]
    bus.out.table(rows, _COLUMNS, nothing="no apps")


@commands.command("show")
def show_app(ctx: typer.Context, app: AppWord, platform: Platform = PlatformName.META, as_json: AsJson = False) -> None:
    """Show one app with the ids and hints of its secrets."""
    bus = bus_of(ctx, as_json)
    bus.out.record(bus.ask("webhook_receiver", "GET", f"{_PATH}/{platform.value}/{app}", for_all=True))


@commands.command("add")
def add_app(
    ctx: typer.Context,
    app: AppWord,
    platform: Platform = PlatformName.META,
    name: Annotated[str | None, typer.Option("--name", help="What it is for, for people.")] = None,
    secret_stdin: SecretStdin = False,
    secret_file: SecretFile = None,
    secret_env: SecretEnv = None,
    verify_token_env: Annotated[
        str | None,
        typer.Option(
            "--verify-token-env", metavar="NAME", help="Variable with the handshake's token; else one is made."
        ),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Accept what a platform pushes for an app. Shows once what the platform's settings need for the handshake.

    From then on what our own settings say of the app counts no more: add it with the secret that is in use.
    """
    bus = bus_of(ctx, as_json)
    body = {"platform": platform.value, "app": app, "secret": read_secret(secret_stdin, secret_file, secret_env)}
    if name is not None:
        body["name"] = name
    if verify_token_env is not None:
        body["verify_token"] = _variable(verify_token_env)
    params = {"dry_run": dry_run}
    bus.out.record(bus.ask("webhook_receiver", "POST", _PATH, params=params, body=body, for_all=True))


@commands.command("rotate")
def rotate_secret(
    ctx: typer.Context,
    app: AppWord,
    platform: Platform = PlatformName.META,
    secret_stdin: SecretStdin = False,
    secret_file: SecretFile = None,
    secret_env: SecretEnv = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Accept a second secret beside the first: change it at the platform then, and retire the old one at last."""
    bus = bus_of(ctx, as_json)
    body = {"secret": read_secret(secret_stdin, secret_file, secret_env)}
    path, params = f"{_PATH}/{platform.value}/{app}/secrets", {"dry_run": dry_run}
    bus.out.record(bus.ask("webhook_receiver", "POST", path, params=params, body=body, for_all=True))


@commands.command("retire")
def retire(
    ctx: typer.Context,
    app: AppWord,
    platform: Platform = PlatformName.META,
    secret: Annotated[
        UUID | None, typer.Option("--secret", metavar="ID", help="Id of the secret, as `show` gives it.")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole-app", help="Accept nothing for the app any more.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Accept nothing any more that this secret signed; or nothing at all for the app. What came before stays.

    Ends with 1 when the settings name the whole app too: they count for it again.
    """
    bus = bus_of(ctx, as_json)
    if (secret is None) == (not whole):
        raise AskedWrongly("say which --secret ID to retire, or --whole-app")
    path = f"{_PATH}/{platform.value}/{app}" + (f"/secrets/{secret}" if secret else "")
    answer = bus.ask("webhook_receiver", "DELETE", path, params={"dry_run": dry_run}, for_all=True)
    bus.out.record(answer)
    if whole and answer.get("in_settings"):
        bus.out.remark(
            f"the receiver's settings name app {app} too: what their secret signed is accepted again, until they are "
            "changed. To accept nothing, keep the app and retire each of its secrets."
        )
        raise typer.Exit(1)


def read_secret(from_stdin: bool, file: Path | None, variable: str | None) -> str:
    """Read the secret from the one place that was said; a person at a terminal is asked, without an echo.

    Raises: AskedWrongly.
    """
    if sum((from_stdin, file is not None, variable is not None)) > 1:
        raise AskedWrongly("the secret comes from one place: --secret-stdin, --secret-file or --secret-env")
    if variable is not None:
        return _variable(variable)
    if file is not None:
        try:
            text = file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise AskedWrongly(f"{file} cannot be read as text: {error}") from None
    elif from_stdin:
        text = sys.stdin.read()
    elif sys.stdin.isatty():
        text = typer.prompt("Secret", hide_input=True, err=True)
    else:
        raise AskedWrongly("say where the secret is: --secret-stdin, --secret-file FILE or --secret-env NAME")
    if not text.strip():
        raise AskedWrongly("the secret is empty")
    return text.strip()


def _variable(name: str) -> str:
    text = os.environ.get(name, "").strip()
    if not text:
        raise AskedWrongly(f"the environment variable {name} is not set or empty")
    return text


def _active_hints(row: dict[str, Any]) -> str:
    return " ".join(each["hint"] for each in row["secrets"] if each["status"] == "active")
