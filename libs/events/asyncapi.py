"""The AsyncAPI 3 document of the bus, made from the declaration of topics and the events' schemas.

Source: "AsyncAPI Specification" 3.0.0; "Kafka Bindings" 0.5.0.
"""

import json
from typing import Any, Final

from libs.events.examples import EXAMPLES
from libs.events.model import Event
from libs.events.topics import TOPICS, Topic

_HEADERS: Final[dict[str, tuple[str, str]]] = {
    "ce_id": ("string", "unique within ce_source; consumers deduplicate by the two"),
    "ce_type": ("string", "the event's type, which ends in its version"),
    "ce_source": ("string", "who wrote it; on `requests` a registered producer"),
    "ce_specversion": ("string", "1.0"),
    "ce_time": ("string", "RFC 3339, when it happened"),
    "ce_subject": ("string", "what it is about, within its source"),
    "content-type": ("string", "application/json"),
    "ce_orgid": ("string", "the organization it belongs to"),
    "ce_correlationid": ("string", "the same on all events that follow from one request"),
    "ce_causationid": ("string", "ce_id of the event that this one answers"),
    "ce_version": ("string", "of state: grows with every change of the key, also on its tombstone"),
    "ce_idempotencykey": ("string", "on `requests`: asks with the same key are done once"),
    "traceparent": ("string", "W3C trace context of the event's creation"),
}
_REQUIRED_HEADERS: Final = ("ce_id", "ce_type", "ce_source", "ce_specversion")
_SERVICES: Final = ("ingest", "asset_sync", "batcher", "webhook_receiver")


def asyncapi_document(version: str) -> dict[str, Any]:
    """Give the document; `version` is the release of the bus."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "platformbus",
            "version": version,
            "description": "CloudEvents 1.0 in Kafka's binary mode. `requests` is the way in, the other topics are the "
            "ways out. `<service>.dead_letters` carry records of any form, as they came.",
        },
        "defaultContentType": "application/json",
        "channels": {declared.name: _channel(declared) for declared in TOPICS},
        "operations": _operations(),
        "components": {
            "messages": {model.event_type: _message(model) for declared in TOPICS for model in declared.events},
            "schemas": {"Envelope": _envelope()},
        },
    }


def _channel(declared: Topic) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": declared.name,
        "description": f"{declared.kind}: {declared.summary}. Key: {declared.key}.",
        "bindings": {
            "kafka": {
                "topic": declared.name,
                "partitions": declared.partitions,
                "topicConfiguration": _topic_configuration(declared),
                "bindingVersion": "0.5.0",
            }
        },
    }
    if declared.events:
        names = [model.event_type for model in declared.events]
        channel["messages"] = {name: {"$ref": f"#/components/messages/{name}"} for name in names}
    return channel


def _topic_configuration(declared: Topic) -> dict[str, Any]:
    settings: dict[str, Any] = {name: int(text) for name, text in declared.config().items() if name != "cleanup.policy"}
    return {"cleanup.policy": [declared.cleanup]} | settings


def _operations() -> dict[str, Any]:
    """What each service does; whoever is no service of ours has no operations here."""
    operations: dict[str, Any] = {}
    for declared in TOPICS:
        for action, services in (("send", declared.written_by), ("receive", declared.read_by)):
            for service in services:
                if service in _SERVICES:
                    channel = {"$ref": f"#/channels/{declared.name}"}
                    operations[f"{service}.{action}.{declared.name}"] = {"action": action, "channel": channel}
    return operations


def _message(model: type[Event]) -> dict[str, Any]:
    example = EXAMPLES[model.event_type]
    headers = {name: value.decode() for name, value in example.envelope.to_headers()}
    return {
        "name": model.event_type,
        "title": model.__name__,
        "summary": (model.__doc__ or "").strip().splitlines()[0],
        "headers": {"$ref": "#/components/schemas/Envelope"},
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./schemas/{model.event_type}.json"},
        },
        "bindings": {"kafka": {"key": {"type": "string", "examples": [example.key]}, "bindingVersion": "0.5.0"}},
        "examples": [{"headers": headers, "payload": json.loads(example.event.model_dump_json())}],
    }


def _envelope() -> dict[str, Any]:
    properties = {name: {"type": kind, "description": words} for name, (kind, words) in _HEADERS.items()}
    return {"type": "object", "required": list(_REQUIRED_HEADERS), "properties": properties}
