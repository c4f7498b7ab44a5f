"""The spans of a message's way and of an HTTP call, named and linked by OpenTelemetry's conventions.

    create <topic>    PRODUCER  in the business transaction; its context travels with the event, unchanged, for ever
    send <topic>      CLIENT    one per produce batch of the relay; links to each event's creation context
    receive <topic>   CLIENT    one per poll; links
    process <topic>   CONSUMER  one per batch of a route; links; for a single message its creation context is the parent
    settle <topic>    CLIENT    the commit of offsets

An event that answers another is created as a child of that one's creation context, so one trace runs from the first
request to the last result although batches stand between.
Source: OpenTelemetry semantic conventions 1.44.0, "Messaging spans", "Kafka", "HTTP spans", read 2026-11-21.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from opentelemetry.util.types import AttributeValue

from libs.telemetry.redaction import redact_text
from libs.telemetry.tracing import Span, SpanKind, links_to, start_span

_KAFKA: dict[str, AttributeValue] = {"messaging.system": "kafka"}


def create_span(
    topic: str, *, message_id: str, conversation_id: str | None = None, cause_traceparent: str | None = None
) -> AbstractContextManager[Span]:
    """Open the span in which an event is appended to the outbox."""
    attributes = _KAFKA | {
        "messaging.operation.name": "create",
        "messaging.operation.type": "create",
        "messaging.destination.name": topic,
        "messaging.message.id": message_id,
    }
    if conversation_id is not None:
        attributes["messaging.message.conversation_id"] = conversation_id
    return start_span(f"create {topic}", SpanKind.PRODUCER, parent_traceparent=cause_traceparent, attributes=attributes)


def send_span(topic: str, traceparents: Sequence[str | None]) -> AbstractContextManager[Span]:
    """Open the span of one produce batch."""
    return _batch_span("send", "send", topic, traceparents, SpanKind.CLIENT)


def receive_span(topic: str, traceparents: Sequence[str | None], *, group: str) -> AbstractContextManager[Span]:
    """Open the span of one poll that brought records."""
    return _batch_span("receive", "receive", topic, traceparents, SpanKind.CLIENT, group=group)


def process_span(topic: str, traceparents: Sequence[str | None], *, group: str) -> AbstractContextManager[Span]:
    """Open the span in which a route's messages are handled; a single message's creation context becomes the parent."""
    parent = traceparents[0] if len(traceparents) == 1 else None
    return _batch_span("process", "process", topic, traceparents, SpanKind.CONSUMER, group=group, parent=parent)


def settle_span(topic: str, *, count: int, group: str) -> AbstractContextManager[Span]:
    """Open the span of a commit of offsets."""
    attributes = _KAFKA | {
        "messaging.operation.name": "commit",
        "messaging.operation.type": "settle",
        "messaging.destination.name": topic,
        "messaging.consumer.group.name": group,
        "messaging.batch.message_count": count,
    }
    return start_span(f"commit {topic}", SpanKind.CLIENT, attributes=attributes)


def http_client_span(method: str, *, host: str, port: int | None, path: str) -> AbstractContextManager[Span]:
    """Open the span of one outgoing HTTP request; `path` comes without its query, which may carry a token."""
    attributes: dict[str, AttributeValue] = {
        "http.request.method": method,
        "server.address": host,
        "url.path": path,
    }
    if port is not None:
        attributes["server.port"] = port
    return start_span(method, SpanKind.CLIENT, attributes=attributes)


def http_server_span(method: str, path: str, traceparent: str | None) -> AbstractContextManager[Span]:
    """Open the span of one incoming HTTP request; the route is set when it is known, by `update_name`.

    A caller may put a key into the path by mistake, so the path is redacted.
    """
    return start_span(
        method,
        SpanKind.SERVER,
        parent_traceparent=traceparent,
        attributes={"http.request.method": method, "url.path": redact_text(path, max_chars=512)},
    )


def _batch_span(
    name: str,
    operation_type: str,
    topic: str,
    traceparents: Sequence[str | None],
    kind: SpanKind,
    *,
    group: str | None = None,
    parent: str | None = None,
) -> AbstractContextManager[Span]:
    attributes = _KAFKA | {
        "messaging.operation.name": name,
        "messaging.operation.type": operation_type,
        "messaging.destination.name": topic,
        "messaging.batch.message_count": len(traceparents),
    }
    if group is not None:
        attributes["messaging.consumer.group.name"] = group
    return start_span(
        f"{name} {topic}",
        kind,
        parent_traceparent=parent,
        root=True,  # a batch belongs to no trace, it only links to those of its messages
        links=links_to(traceparents),
        attributes=attributes,
    )
