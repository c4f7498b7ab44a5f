"""`platformbus outbox`: what waits for Kafka."""

import typer

from services.cli.bus import bus_of, one_service
from services.cli.options import AsJson, Service

_TOPICS = (("service", "SERVICE"), ("topic", "TOPIC"), ("rows", "WAITING"), ("oldest_at", "OLDEST"))
_BLOCKED = (
    ("service", "SERVICE"),
    ("topic", "TOPIC"),
    ("key", "KEY"),
    ("attempts", "TRIES"),
    ("next_try_at", "NEXT TRY"),
    ("reason", "REASON"),
)


def show_outbox(ctx: typer.Context, service: Service = None, as_json: AsJson = False) -> None:
    """Show the events that wait for Kafka, per topic, and the keys whose next event the broker refuses."""
    bus = bus_of(ctx, as_json)
    states = [bus.ask(name, "GET", "/admin/outbox") for name in one_service(service)]
    if as_json:
        bus.out.json(states)
        return
    waiting = [topic | {"service": state["service"]} for state in states for topic in state["topics"]]
    blocked = [key | {"service": state["service"]} for state in states for key in state["blocked_keys"]]
    bus.out.table(waiting, _TOPICS, nothing="nothing waits")
    if blocked:
        bus.out.remark("the broker refuses the next event of these keys:")
        bus.out.table(blocked, _BLOCKED)
