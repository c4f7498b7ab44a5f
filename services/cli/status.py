"""`platformbus status`: is everything there, and does anything pile up?"""

from typing import Any

import typer

from services.cli.bus import Bus, bus_of
from services.cli.errors import AskedWrongly, Failed
from services.cli.options import AsJson
from services.cli.settings import SERVICES, ServiceName

_COLUMNS = (
    ("service", "SERVICE"),
    ("url", "AT"),
    ("ready", "READY"),
    ("outbox_rows", "OUTBOX"),
    ("outbox_oldest_seconds", "OLDEST (S)"),
    ("parked_keys", "PARKED KEYS"),
    ("open_dead_letters", "DEAD LETTERS"),
    ("jobs_failed", "JOBS FAILED"),
    ("why", "WHY"),
)
_MOST_LOOKED_AT = 500
_COUNTED_UP_TO_IT = ("parked_keys", "open_dead_letters")


def show_status(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Ask every service whether it is ready, and what waits there. Ends with 1 if one is not.

    Parked keys and dead letters are counted up to 500, which the table shows as 500+.
    """
    bus = bus_of(ctx, as_json)
    rows = [_state_of(bus, service) for service in SERVICES]
    bus.out.table(rows if bus.out.as_json else [_marked(row) for row in rows], _COLUMNS)
    if not all(row["ready"] for row in rows):
        raise typer.Exit(1)


def _marked(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: f"{row[name]}+" for name in _COUNTED_UP_TO_IT if row.get(name) == _MOST_LOOKED_AT}


def _state_of(bus: Bus, service: ServiceName) -> dict[str, Any]:
    row: dict[str, Any] = {"service": service, "url": bus.settings.url(service), "ready": False, "why": None}
    try:
        answer = bus.fetch(service, "GET", "/ready")
        verdict = answer.json()
    except (Failed, AskedWrongly) as error:
        return row | {"why": str(error)}
    except ValueError:
        return row | {"why": "answers, but is no service of ours"}
    row["ready"] = answer.status_code == 200
    if not row["ready"]:
        row["why"] = "; ".join(f"{name}: {reason}" for name, reason in verdict.get("failed", {}).items())
    return row | _load_of(bus, service)


def _load_of(bus: Bus, service: ServiceName) -> dict[str, Any]:
    """What waits there; nothing of it without a key that may see it."""
    try:
        outbox = bus.ask(service, "GET", "/admin/outbox")
        parked = bus.ask(service, "GET", "/admin/parked", params={"limit": _MOST_LOOKED_AT})
        letters = bus.ask(service, "GET", "/admin/dead-letters", params={"limit": _MOST_LOOKED_AT})
        jobs = bus.ask(service, "GET", "/admin/jobs")
    except (Failed, AskedWrongly) as error:
        bus.out.remark(f"{service}: what waits there is not shown: {error}")
        return {}
    return {
        "outbox_rows": outbox["pending_rows"],
        "outbox_oldest_seconds": outbox["oldest_age_seconds"],
        "parked_keys": len(parked),
        "open_dead_letters": len(letters),
        "jobs_failed": sum(job["last_outcome"] not in (None, "succeeded") for job in jobs),
    }
