"""How many rows a narrowed list has, kept until somebody writes: Meta's own SDK asks for it with every page (S)."""

from collections.abc import Callable

from services.sandbox.meta.node import Node
from services.sandbox.meta.params import Params
from services.sandbox.meta.world import World

MAX_KEPT = 64
_NO_CHOICE = frozenset({
    "after", "before", "limit", "offset", "fields", "summary", "access_token", "appsecret_proof", "appsecret_time",
})  # fmt: skip
_BY_CLOCK = frozenset({"is_completed", "updated_since", "since", "until"})
_CLOCK_WORDS = ("time", "delivery")
"""A condition of `filtering` with one of these in it may hold now, and a moment later no more."""


def kept_count(world: World, node: Node, edge: str, params: Params, count: Callable[[], int]) -> int:
    """What `count` gives for the rows of an edge that the parameters choose; asked once for all pages of a list."""
    filtering = params.get("filtering", "")
    if _BY_CLOCK & params.keys() or any(word in filtering for word in _CLOCK_WORDS):
        return count()
    writes, kept = world.kept.get(__name__, (-1, {}))
    if writes != world.writes or len(kept) >= MAX_KEPT:
        kept = {}
        world.kept[__name__] = (world.writes, kept)
    key = (node.id, edge, *sorted((name, value) for name, value in params.items() if name not in _NO_CHOICE))
    if key not in kept:
        kept[key] = count()
    return int(kept[key])
