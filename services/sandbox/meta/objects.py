"""Objects and their edges, read: what every kind has in common."""

from services.sandbox.meta.errors import missing_object
from services.sandbox.meta.operations import Context, Operation


def _root(context: Context) -> object:
    raise missing_object("/")


def _object(context: Context) -> object:
    return context.reader.object(context.named, context.params)


def _edge(context: Context) -> object:
    return context.reader.edge(context.named, context.edge, context.params)


OPERATIONS = (
    Operation("meta.root", "GET", "", _root),
    Operation("meta.{kind}", "GET", "{any}", _object),
    Operation("meta.{kind}.{edge}", "GET", "{any}/{edge}", _edge),
)
