"""Likes that a page gives to posts and comments, and takes back (O, reference/object/likes). Twice is as once (M)."""

from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.publishing.comments import PAGE_SCOPES
from services.sandbox.meta.publishing.posts import page_token_only
from services.sandbox.meta.webhooks.events import reaction

EDGE = "likes"


def _like(context: Context) -> object:
    return _set(context, "add")


def _unlike(context: Context) -> object:
    return _set(context, "remove")


def _set(context: Context, verb: str) -> object:
    page_token_only(context)
    world, liked = context.world, context.named
    person = world.nodes[context.token.owner[1]]
    if (person.id in liked.edges.get(EDGE, ())) == (verb == "add"):
        return _counted(context)
    (world.enlist if verb == "add" else world.delist)(person, liked, EDGE)
    value = reaction(world, liked, person, verb, context.around.clock.now())
    context.webhooks.tell("page", world.nodes[liked.account], "feed", value)
    return _counted(context)


def _counted(context: Context) -> dict[str, bool]:
    """A comment shows its count as a field (S); a post counts by itself."""
    liked = context.world.nodes[context.named.id]
    if liked.kind == "comment":
        context.world.change(liked, {"like_count": len(liked.edges.get(EDGE, ()))})
    return {"success": True}


OPERATIONS = tuple(
    Operation(f"meta.{kind}.{name}", method, f"{{{kind}}}/{EDGE}", run, scopes=PAGE_SCOPES)
    for kind in ("post", "comment")
    for name, method, run in (("like", "POST", _like), ("unlike", "DELETE", _unlike))
)
