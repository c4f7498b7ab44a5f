"""Options that many commands share, so that they are spelled and explained alike."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Answer with JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")]
Organization = Annotated[
    str | None,
    typer.Option(
        "--organization", "-o", help="Id of the organization that is meant, for a key of the bus's operators."
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many at most.")]
Service = Annotated[
    str | None, typer.Option("--service", help="ingest, asset_sync, batcher or webhook_receiver; else all.")
]
RouteLimit = Annotated[int, typer.Option("--limit", min=1, max=500, help="How many at most.")]
