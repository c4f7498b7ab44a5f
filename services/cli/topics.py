"""`platformbus topics`: what is declared, what the broker has, and appending current state again."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from libs.events.topics import TOPICS
from libs.messaging.admin import Difference, apply_topics, compare_topics
from services.cli.bus import bus_of, one_service
from services.cli.errors import AskedWrongly
from services.cli.options import AsJson, DryRun, Service

commands = typer.Typer(no_args_is_help=True, help="Kafka topics: list, apply, compare, reannounce.")

_DECLARED = (
    ("name", "TOPIC"),
    ("kind", "KIND"),
    ("key", "KEY"),
    ("partitions", "PARTITIONS"),
    ("cleanup", "CLEANUP"),
    ("written_by", "WRITTEN BY"),
    ("read_by", "READ BY"),
    ("events", "EVENTS"),
)
_DIFFERENCES = (
    ("topic", "TOPIC"),
    ("what", "WHAT"),
    ("declared", "DECLARED"),
    ("actual", "BROKER"),
    ("mended_by", "MENDED BY"),
)


@commands.command("list")
def list_topics(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the topics as they are declared; asks no broker."""
    rows: list[dict[str, Any]] = [
        {
            "name": topic.name,
            "kind": topic.kind,
            "key": topic.key,
            "partitions": topic.partitions,
            "cleanup": topic.cleanup,
            "retention_ms": topic.retention_ms,
            "max_message_bytes": topic.max_message_bytes,
            "written_by": topic.written_by if as_json else ", ".join(topic.written_by),
            "read_by": topic.read_by if as_json else ", ".join(topic.read_by),
            "events": [model.event_type for model in topic.events]
            if as_json
            else ", ".join(model.event_type for model in topic.events),
        }
        for topic in TOPICS
    ]
    bus_of(ctx, as_json).out.table(rows, _DECLARED)


@commands.command("compare")
def compare(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show where the broker differs from the declaration; changes nothing. Ends with 1 when it does."""
    bus = bus_of(ctx, as_json)
    differences = bus.run(compare_topics(bus.kafka()))
    bus.out.table(_rows(differences), _DIFFERENCES, nothing="the broker has every topic as declared")
    if differences:
        raise typer.Exit(1)


@commands.command("apply")
def apply(
    ctx: typer.Context,
    grow: Annotated[
        list[str] | None,
        typer.Option("--grow", help="Topic that may get its missing partitions although keys move; repeat."),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Create what is missing and set what differs. Ends with 1 when something is left for a hand."""
    bus = bus_of(ctx, as_json)
    unknown = sorted(set(grow or ()) - {topic.name for topic in TOPICS})
    if unknown:
        raise AskedWrongly(f"--grow names no declared topic: {', '.join(unknown)}")
    kafka = bus.kafka()
    differences = bus.run(compare_topics(kafka) if dry_run else apply_topics(kafka, grow=tuple(grow or ())))
    if differences:
        bus.out.remark("would change:" if dry_run else "changed:")
    bus.out.table(_rows(differences), _DIFFERENCES, nothing="the broker has every topic as declared")
    if not dry_run and any(item.mended_by == "hand" and item.topic not in (grow or ()) for item in differences):
        raise typer.Exit(1)


@commands.command("reannounce")
def reannounce(
    ctx: typer.Context,
    service: Service = None,
    topic: Annotated[
        str | None, typer.Option("--topic", help="Only this state topic; else all of the service.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every key, not only those that changed lately.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Append the current state of keys again: consumers drop what they know, compaction keeps what is newest."""
    bus = bus_of(ctx, as_json)
    writers = one_service(service) if topic is None else _writer_of(topic, service)
    body = {"topic": topic, "everything": everything}
    answers = [
        {"service": name} | bus.ask(name, "POST", "/admin/topics/reannounce", params={"dry_run": dry_run}, body=body)
        for name in writers
    ]
    bus.out.table(answers, (("service", "SERVICE"), ("done", "DONE"), ("count", "EVENTS"), ("dry_run", "DRY RUN")))


def _writer_of(topic: str, service: str | None) -> Sequence[Any]:
    """The service that writes a state topic."""
    declared = [one for one in TOPICS if one.name == topic and one.kind == "state"]
    if not declared:
        states = ", ".join(one.name for one in TOPICS if one.kind == "state")
        raise AskedWrongly(f"{topic!r} is no state topic; one of {states}")
    if service is not None and service not in declared[0].written_by:
        raise AskedWrongly(f"{service} does not write {topic}")
    return declared[0].written_by


def _rows(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    return [asdict(item) for item in differences]
