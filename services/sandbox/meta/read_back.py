"""Reading after writing in one call: `fields` on a create or an update (O, docs/graph-api/advanced).

The write comes first: if the read fails, it is done all the same, and the error carries what the write would have
answered as `original_response`, under a type of its own (O).
"""

from collections.abc import Mapping
from typing import Any

from services.sandbox.meta.errors import GraphError, unread
from services.sandbox.meta.operations import Context
from services.sandbox.meta.world import Node


def answer(context: Context, node: Node, **also: Any) -> dict[str, Any]:
    """The id and what else the call gives, or what `fields` asks for."""
    return _read(context, node, {"id": node.id, **also})


def changed(context: Context, node: Node) -> dict[str, Any]:
    """`{"success": true}`, with what `fields` asks for."""
    done = {"success": True}
    return {**_read(context, node, done), **done}


def _read(context: Context, node: Node, done: Mapping[str, Any]) -> dict[str, Any]:
    if not context.params.get("fields", "").strip():
        return dict(done)
    try:
        return context.reader.object(node, context.params)
    except GraphError as error:
        raise unread(error, done) from error
