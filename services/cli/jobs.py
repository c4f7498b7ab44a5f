"""`platformbus jobs`: what the services do by the clock."""

import time
from typing import Annotated, Any
from urllib.parse import quote

import typer

from services.cli.bus import Bus, bus_of, one_service
from services.cli.errors import AskedWrongly, Failed
from services.cli.options import AsJson, DryRun, RouteLimit, Service
from services.cli.settings import ServiceName

commands = typer.Typer(no_args_is_help=True, help="Periodic jobs: when they run, how they ended, run one now.")

_COLUMNS = (
    ("service", "SERVICE"),
    ("name", "JOB"),
    ("next_run_at", "NEXT"),
    ("running", "RUNNING"),
    ("paused", "PAUSED"),
    ("last_outcome", "LAST"),
    ("last_ended_at", "ENDED"),
    ("last_counts", "COUNTS"),
    ("last_error", "ERROR"),
)
_RUNS = (
    ("id", "RUN"),
    ("trigger", "BY"),
    ("started_at", "STARTED"),
    ("ended_at", "ENDED"),
    ("outcome", "OUTCOME"),
    ("counts", "COUNTS"),
    ("error", "ERROR"),
)
_POLL_SECONDS = 0.25

JobName = Annotated[str, typer.Argument(help="Name of the job, as `list` shows it.")]


@commands.command("list")
def list_jobs(ctx: typer.Context, service: Service = None, as_json: AsJson = False) -> None:
    """List every job, when it runs next and how it ended last."""
    bus = bus_of(ctx, as_json)
    rows = [job | {"service": name} for name in one_service(service) for job in bus.ask(name, "GET", "/admin/jobs")]
    bus.out.table(rows, _COLUMNS, nothing="no jobs")


@commands.command("runs")
def list_runs(
    ctx: typer.Context, name: JobName, service: Service = None, limit: RouteLimit = 20, as_json: AsJson = False
) -> None:
    """List the job's runs, newest first."""
    bus = bus_of(ctx, as_json)
    where = _service_of(bus, name, service)
    bus.out.table(
        bus.ask(where, "GET", f"/admin/jobs/{quote(name, safe='')}/runs", params={"limit": limit}),
        _RUNS,
        nothing="no runs yet",
    )


@commands.command("run")
def run_job(
    ctx: typer.Context,
    name: JobName,
    service: Service = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the run's end; 1 unless it succeeded.")] = False,
    wait_seconds: Annotated[float, typer.Option("--wait-seconds", min=1, help="How long to wait at most.")] = 300,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Run a job as soon as it is free, whatever its plan says."""
    bus = bus_of(ctx, as_json)
    where = _service_of(bus, name, service)
    answer = bus.ask(where, "POST", f"/admin/jobs/{quote(name, safe='')}/run", params={"dry_run": dry_run})
    if not wait or dry_run:
        bus.out.change(answer)
        return
    run = _ended_run(bus, where, answer["count"], wait_seconds)
    bus.out.record(run)
    if run["outcome"] != "succeeded":
        raise typer.Exit(1)


@commands.command("pause")
def pause_job(
    ctx: typer.Context, name: JobName, service: Service = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Stop starting a job by its plan; it can still be run by hand."""
    _set_paused(bus_of(ctx, as_json), name, service, "pause", dry_run)


@commands.command("resume")
def resume_job(
    ctx: typer.Context, name: JobName, service: Service = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Start a paused job by its plan again."""
    _set_paused(bus_of(ctx, as_json), name, service, "resume", dry_run)


def _set_paused(bus: Bus, name: str, service: str | None, verb: str, dry_run: bool) -> None:
    where = _service_of(bus, name, service)
    bus.out.change(bus.ask(where, "POST", f"/admin/jobs/{quote(name, safe='')}/{verb}", params={"dry_run": dry_run}))


def _service_of(bus: Bus, name: str, service: str | None) -> ServiceName:
    """The service that has a job of this name."""
    found = [
        where
        for where in one_service(service)
        if any(job["name"] == name for job in bus.ask(where, "GET", "/admin/jobs"))
    ]
    if not found:
        raise Failed(f"there is no job {name!r}; `platformbus jobs list` shows all")
    if len(found) > 1:
        raise AskedWrongly(f"{' and '.join(found)} have a job {name!r}: say which with --service")
    return found[0]


def _ended_run(bus: Bus, where: ServiceName, run_id: int, wait_seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + wait_seconds
    while True:
        run: dict[str, Any] = bus.ask(where, "GET", f"/admin/job-runs/{run_id}")
        if run["ended_at"] is not None:
            return run
        if time.monotonic() > deadline:
            raise Failed(f"run {run_id} has not ended after {wait_seconds:g} s; it goes on")
        time.sleep(_POLL_SECONDS)
