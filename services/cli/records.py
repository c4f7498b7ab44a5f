"""What `parked` and `dead-letters` share: finding a record over all services, and changing it."""

import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from services.cli.bus import Bus, one_service
from services.cli.errors import AskedWrongly, Failed
from services.cli.settings import ServiceName

RecordId = Annotated[UUID, typer.Argument(help="Id of the record, as `list` shows it.")]
Reason = Annotated[str, typer.Option("--reason", help="Why it is given up; kept with it.")]
ValueFile = Annotated[
    str, typer.Option("--value", metavar="FILE", help="File with the new body, whole; - reads standard input.")
]


def read_value(name: str) -> str:
    """Read the new body of a record. Raises: AskedWrongly."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise AskedWrongly(f"{name} cannot be read as text: {error}") from None


def find(bus: Bus, path: str, record_id: UUID, service: str | None) -> tuple[ServiceName, dict[str, Any]]:
    """Look a record up where it is; ids are unique over all services. Raises: Failed."""
    names = one_service(service)
    for name in names:
        try:
            return name, bus.ask(name, "GET", f"{path}/{record_id}")
        except Failed as error:
            if error.document.get("status") != 404 or name == names[-1]:
                raise
    raise Failed(f"no service has a record {record_id}")


def change(
    bus: Bus,
    method: str,
    path: str,
    record_id: UUID,
    service: str | None,
    dry_run: bool,
    *,
    verb: str = "",
    body: Any = None,
) -> None:
    """Find a record, have it changed, and say what was done. Raises: Failed, with the service's reason."""
    name, _ = find(bus, path, record_id, service)
    bus.out.change(bus.ask(name, method, f"{path}/{record_id}{verb}", params={"dry_run": dry_run}, body=body))
