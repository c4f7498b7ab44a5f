"""Writes that no other row knows: an object that is not there is refused as Meta does, any other stays uncovered."""

from services.sandbox.meta.listing import NotCovered
from services.sandbox.meta.objects import READING
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.publishing.uploads import RUPLOAD
from services.sandbox.meta.publishing.videos import GRAPH_VIDEO


def _unserved(context: Context) -> object:
    """The object was found: what is asked of it is what the sandbox lacks."""
    what = f"edge {context.edge}" if context.edge else "the object itself"
    raise NotCovered(f"{context.request.method} of {what} of {context.named.kind}")


HOSTS = (*READING, GRAPH_VIDEO, RUPLOAD)
OPERATIONS = tuple(
    Operation(f"meta.{{kind}}.{method.lower()}{name}", method, path, _unserved, HOSTS)
    for method in ("POST", "DELETE")
    for path, name in (("{any}", ""), ("{any}/{edge}", ".{edge}"))
)
