"""Writes that no other row knows: an object that is not there is refused as Meta does, any other stays uncovered."""

from services.sandbox.meta.listing import NotCovered
from services.sandbox.meta.objects import READING
from services.sandbox.meta.operations import Context, Operation


def _unserved(context: Context) -> object:
    """The object was found: what is asked of it is what the sandbox lacks."""
    what = f"edge {context.edge}" if context.edge else "the object itself"
    raise NotCovered(f"{context.request.method} of {what} of {context.named.kind}")


OPERATIONS = tuple(
    Operation(f"meta.{{kind}}.{method.lower()}{name}", method, path, _unserved, READING)
    for method in ("POST", "DELETE")
    for path, name in (("{any}", ""), ("{any}/{edge}", ".{edge}"))
)
