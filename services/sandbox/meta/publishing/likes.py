"""Likes that a page gives to posts and comments, and takes back (O, reference/object/likes). Twice is as once (M)."""

from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.publishing.comments import PAGE_SCOPES
from services.sandbox.meta.publishing.posts import page_token_only

EDGE = "likes"


def _like(context: Context) -> object:
    page_token_only(context)
    world, liked = context.world, context.named
    world.enlist(world.nodes[context.token.owner[1]], liked, EDGE)
    return _counted(context)


def _unlike(context: Context) -> object:
    page_token_only(context)
    world, liked = context.world, context.named
    world.delist(world.nodes[context.token.owner[1]], liked, EDGE)
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
