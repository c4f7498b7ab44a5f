"""`platformbus requests`: ask as an internal system would over HTTP, and see what became of it."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer

from libs.vocabulary import PlatformName, RequestKind
from services.cli.bus import Bus, Page, bus_of
from services.cli.errors import AskedWrongly, Failed
from services.cli.options import AsJson, DryRun, Limit, Organization

commands = typer.Typer(no_args_is_help=True, help="Requests: submit, show, list.")

_COLUMNS = (
    ("request_id", "ID"),
    ("kind", "KIND"),
    ("status", "STATUS"),
    ("object_key", "OBJECT"),
    ("source", "FROM"),
    ("received_at", "RECEIVED"),
    ("ended_at", "ENDED"),
)
_PAGE = Page(rows="items", cursor="cursor", following="next_cursor")
_OPEN = "accepted"
_POLL_SECONDS = 0.2

WaitSeconds = Annotated[
    float | None, typer.Option("--wait", metavar="SECONDS", min=0, help="Wait so long for its end; 1 unless completed.")
]


@commands.command("submit")
def submit(
    ctx: typer.Context,
    connection: Annotated[UUID | None, typer.Option("--connection", help="Through which connection.")] = None,
    request_type: Annotated[str | None, typer.Option("--type", help="What is read, e.g. get_object.")] = None,
    params: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="Parameter, a text; repeat.")
    ] = None,
    json_params: Annotated[
        list[str] | None, typer.Option("--param-json", metavar="NAME=JSON", help="Parameter, as JSON; repeat.")
    ] = None,
    platform: Annotated[PlatformName, typer.Option("--platform", help="Which platform.")] = PlatformName.META,
    priority: Annotated[int | None, typer.Option("--priority", min=1, max=10, help="1 goes first.")] = None,
    max_wait: Annotated[
        float | None, typer.Option("--max-wait", min=0, help="Seconds it may wait for company.")
    ] = None,
    payload: Annotated[
        str | None, typer.Option("--payload", metavar="FILE", help="The whole payload as JSON; - is standard input.")
    ] = None,
    kind: Annotated[RequestKind, typer.Option("--kind", help="What is asked for.")] = RequestKind.API_REQUEST,
    object_key: Annotated[
        str | None, typer.Option("--object-key", help="Your id of what it is about: requests of one keep their order.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key again asks for nothing new; else a fresh one.")
    ] = None,
    wait: WaitSeconds = None,
    organization: Organization = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Ask for something."""
    bus = bus_of(ctx, as_json)
    flags = (connection, request_type, params, json_params, priority, max_wait)
    if payload is not None and any(flag is not None for flag in flags):
        raise AskedWrongly("give the whole --payload, or its parts, not both")
    body: dict[str, Any] = {"kind": kind.value, "object_key": object_key or f"cli/{uuid4()}"}
    if payload is not None:
        body["payload"] = _read_payload(payload)
    elif connection is None or request_type is None:
        raise AskedWrongly("say --connection and --type, or give the whole --payload")
    else:
        body["payload"] = {
            "platform": platform.value,
            "connection_id": str(connection),
            "request_type": request_type,
            "params": _params(params or [], json_params or []),
        } | {
            name: value for name, value in (("priority", priority), ("max_wait_seconds", max_wait)) if value is not None
        }
    answer = bus.ask(
        "ingest",
        "POST",
        "/v1/requests",
        params={"dry_run": dry_run},
        body=body,
        headers={"Idempotency-Key": idempotency_key or str(uuid4())},
        organization=organization,
    )
    if wait is None or dry_run:
        bus.out.record(answer)
    else:
        _show_end(bus, UUID(answer["request_id"]), wait, organization)


@commands.command("show")
def show(
    ctx: typer.Context,
    request_id: Annotated[UUID, typer.Argument(help="Id of the request, as `submit` and `list` show it.")],
    wait: WaitSeconds = None,
    organization: Organization = None,
    as_json: AsJson = False,
) -> None:
    """Show what became of a request, with its result."""
    bus = bus_of(ctx, as_json)
    if wait is not None:
        _show_end(bus, request_id, wait, organization)
    else:
        bus.out.record(bus.ask("ingest", "GET", f"/v1/requests/{request_id}", organization=organization))


@commands.command("list")
def list_requests(
    ctx: typer.Context,
    status: Annotated[str | None, typer.Option("--status", help="accepted, completed, failed or rejected.")] = None,
    object_key: Annotated[str | None, typer.Option("--object-key", help="Only about this.")] = None,
    connection: Annotated[UUID | None, typer.Option("--connection", help="Only through this one.")] = None,
    limit: Limit = 50,
    organization: Organization = None,
    as_json: AsJson = False,
) -> None:
    """List requests, newest first."""
    bus = bus_of(ctx, as_json)
    params = {
        "status": status,
        "object_key": object_key,
        "connection_id": None if connection is None else str(connection),
    }
    rows = bus.pages("ingest", "/v1/requests", limit=limit, page=_PAGE, params=params, organization=organization)
    bus.out.table(rows, _COLUMNS, nothing="no requests")


def _show_end(bus: Bus, request_id: UUID, wait_seconds: float, organization: str | None) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        request = bus.ask("ingest", "GET", f"/v1/requests/{request_id}", organization=organization)
        if request["status"] != _OPEN:
            bus.out.record(request)
            if request["status"] != "completed":
                raise typer.Exit(1)
            return
        if time.monotonic() > deadline:
            raise Failed(f"request {request_id} has not ended after {wait_seconds:g} s; it goes on")
        time.sleep(_POLL_SECONDS)


def _params(texts: list[str], jsons: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in (*texts, *jsons):
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise AskedWrongly(f"a parameter is NAME=VALUE, not {text!r}")
        if name in found:
            raise AskedWrongly(f"parameter {name!r} is given twice")
        found[name] = value
    for text in jsons:
        name, _, value = text.partition("=")
        found[name] = _parse(value, f"--param-json {name}")
    return found


def _read_payload(place: str) -> Any:
    try:
        text = sys.stdin.read() if place == "-" else Path(place).read_text()
    except OSError as error:
        raise AskedWrongly(f"{place} cannot be read: {error.strerror}") from None
    return _parse(text, "--payload")


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise AskedWrongly(f"{where} is not JSON: {error}") from None
