"""Puts the command together: a noun per file, one place where failures become words and an exit code."""

import json
import sys
from typing import Any

import typer
from aiokafka.errors import KafkaError
from pydantic import ValidationError
from typer.core import TyperGroup

from libs.messaging.admin import TopicsRefused
from libs.postgres import WrongRole, is_available_error
from libs.postgres.migrations import MigrationFailed
from libs.security.key_file import KeyFileBroken
from libs.telemetry.redaction import redact_text, safe_error
from services.cli import (
    batches,
    connections,
    dead_letters,
    jobs,
    keys,
    migrate,
    organizations,
    outbox,
    parked,
    producers,
    requests,
    secrets,
    status,
    topics,
    trace,
    webhooks,
)
from services.cli.bus import Bus
from services.cli.errors import AskedWrongly, Failed
from services.cli.output import plain
from services.cli.settings import read_settings

_FAILURES = (MigrationFailed, WrongRole, KeyFileBroken, TopicsRefused, KafkaError)


class Commands(TyperGroup):
    """Ends every command with its exit code: 0 done, 1 refused or failed, 2 asked wrongly."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AskedWrongly as error:
            _say(ctx, str(error))
            raise typer.Exit(2) from None
        except ValidationError as error:
            names = ", ".join(".".join(str(part) for part in item["loc"]).upper() for item in error.errors())
            _say(ctx, f"not set, or not of the right form: {names}")
            raise typer.Exit(2) from None
        except Failed as error:
            _say(ctx, error.words, error.document)
            raise typer.Exit(1) from None
        except Exception as error:
            if not isinstance(error, _FAILURES) and not is_available_error(error):
                raise
            _say(ctx, redact_text(str(error)) if isinstance(error, _FAILURES) else safe_error(error))
            raise typer.Exit(1) from None


def _say(ctx: Any, words: str, document: dict[str, Any] | None = None) -> None:
    bus = ctx.find_object(Bus)
    if bus is not None and bus.out.as_json:
        sys.stderr.write(json.dumps(document or {"title": "Failed", "detail": words}, indent=2) + "\n")
    else:
        sys.stderr.write(plain(words, keep_lines=True) + "\n")


def create_app() -> typer.Typer:
    """Build the command."""
    app = typer.Typer(
        cls=Commands,
        name="platformbus",
        no_args_is_help=True,
        # Its tracebacks would print local variables, keys among them.
        pretty_exceptions_enable=False,
        help="Look at, feed and steer a platformbus. Reads PLATFORMBUS_KEY and the services' addresses from the "
        "environment, else from what `make up` wrote.",
    )
    app.callback()(_start)
    app.command("status")(status.show_status)
    app.command("outbox")(outbox.show_outbox)
    nouns = {
        "topics": topics,
        "migrate": migrate,
        "keys": keys,
        "organizations": organizations,
        "producers": producers,
        "connections": connections,
        "requests": requests,
        "batches": batches,
        "parked": parked,
        "dead-letters": dead_letters,
        "jobs": jobs,
        "secrets": secrets,
        "trace": trace,
        "webhooks": webhooks,
    }
    for name, noun in nouns.items():
        app.add_typer(noun.commands, name=name)
    return app


def _start(ctx: typer.Context) -> None:
    if ctx.obj is None:
        ctx.obj = Bus(read_settings())


def main() -> None:
    """Run the command with the process's arguments."""
    create_app()(prog_name="platformbus")
