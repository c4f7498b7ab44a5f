"""Reading after writing in one call: `fields` on a create or an update (T; Meta's guide names it read-after-write).

Names are looked at before anything is done: a call that is refused for an unknown one has had no effect (M).
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from services.sandbox.meta.catalog import KINDS, edges_of, fields_of
from services.sandbox.meta.errors import unknown_field
from services.sandbox.meta.fields import parse_fields
from services.sandbox.meta.operations import Context, Run
from services.sandbox.meta.world import Node


def check_fields(context: Context, kind: str) -> None:
    """Raises: GraphError 100 for a field that the kind does not have, 2500 for text that cannot be read."""
    text, host = _asked(context), context.request.host
    known = fields_of(kind, host) | edges_of(kind, host) | KINDS[kind].edges.keys()
    for field in parse_fields(text) if text else ():
        if field.name not in known:
            raise unknown_field(field.name, KINDS[kind].type_name)


def answer(context: Context, node: Node, **also: Any) -> dict[str, Any]:
    """The id and what else the call gives, or what `fields` asks for."""
    if _asked(context):
        return context.reader.object(node, context.params)
    return {"id": node.id, **also}


def reading_back(kind: str) -> Callable[[Run], Run]:
    """For an operation that makes such a kind: the fields that its answer shall have are known before it begins."""

    def around(run: Run) -> Run:
        @wraps(run)
        def checked(context: Context) -> object:
            check_fields(context, kind)
            return run(context)

        return checked

    return around


def _asked(context: Context) -> str:
    return context.params.get("fields", "").strip()
