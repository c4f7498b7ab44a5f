"""Objects and their edges, read: what every kind has in common."""

from collections.abc import Mapping
from typing import Any

from services.sandbox.meta.catalog import KINDS, edges_of, fields_of
from services.sandbox.meta.errors import unsupported
from services.sandbox.meta.operations import GRAPH, Context, Operation
from services.sandbox.meta.tokens import HOSTS, INSTAGRAM, THREADS

READING = (GRAPH, HOSTS[INSTAGRAM], HOSTS[THREADS])
"""Hosts whose objects can be read by id."""
SEVERITIES: Mapping[str, frozenset[str]] = {
    "all": frozenset({"info", "warning"}),
    "info": frozenset({"info", "warning"}),
    "warning": frozenset({"warning"}),
}
"""What each value of `debug` shows (O, docs/graph-api/guides/debugging)."""
_TYPES: Mapping[type, str] = {bool: "bool", int: "int", float: "float", list: "list", dict: "object"}


def _root(context: Context) -> object:
    raise unsupported("get")


def _object(context: Context) -> object:
    answer = context.reader.object(context.named, context.params)
    if context.params.get("metadata", "").lower() in {"1", "true"}:
        answer["metadata"] = _metadata(context)
    return _debugged(context, answer)


def _edge(context: Context) -> object:
    return _debugged(context, context.reader.edge(context.named, context.edge, context.params))


def _metadata(context: Context) -> dict[str, Any]:
    """Names of fields and where edges are (O, docs/graph-api/overview). Meta's descriptions are not made up here."""
    node, host = context.named, context.request.host
    fields = [
        {"name": name, "description": "", "type": _TYPES.get(type(node.values.get(name)), "string")}
        for name in sorted(fields_of(node.kind, host))
    ]
    edges = sorted({*edges_of(node.kind, host), *KINDS[node.kind].edges})
    connections = {edge: f"{context.root}/{node.id}/{edge}" for edge in edges}
    return {"fields": fields, "type": KINDS[node.kind].type_name.lower(), "connections": connections}


def _debugged(context: Context, answer: dict[str, Any]) -> dict[str, Any]:
    """With `__debug__` where the call asks for it (O); empty when there is nothing to tell (M)."""
    shown = SEVERITIES.get(context.params.get("debug", ""))
    if shown is not None:
        messages = [note for note in context.reader.notes if note["type"] in shown]
        answer["__debug__"] = {"messages": messages} if messages else {}
    return answer


OPERATIONS = (
    Operation("meta.root", "GET", "", _root, READING),
    Operation("meta.{kind}", "GET", "{any}", _object, READING),
    Operation("meta.{kind}.{edge}", "GET", "{any}/{edge}", _edge, READING),
)
