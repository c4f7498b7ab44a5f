"""What an ad object's own status and those above it come to (`effective_status`, words S).

Deleted and archived go down to everything below (O, ad-campaign reference); a new active ad is reviewed first (O; how
long is M); paused above is told as CAMPAIGN_PAUSED or ADSET_PAUSED (S).
"""

from datetime import timedelta

from services.sandbox.meta.world import Node, World

GONE = frozenset({"ARCHIVED", "DELETED"})
REVIEW = timedelta(seconds=60)  # M: mostly within 24 hours (O); a minute lets tests see both ends
REVIEWING = "PENDING_REVIEW"
_BELOW = {"campaign": ("adsets", "ads"), "adset": ("ads",)}


def effective_status(kind: str, own: str, above: str | None, *, reviewing: bool = False) -> str:
    """`above`: the effective status of the object directly above; None for a campaign."""
    if own in GONE:
        return own
    if above in GONE:
        return str(above)
    if reviewing:
        return REVIEWING
    if own == "PAUSED" or above in {None, "ACTIVE"}:
        return own
    return "CAMPAIGN_PAUSED" if kind == "adset" or above == "CAMPAIGN_PAUSED" else "ADSET_PAUSED"


def spread(world: World, node: Node) -> None:
    """Give everything below the effective status that follows from this object's."""
    for edge in _BELOW.get(node.kind, ()):
        for child in list(world.listed(node, edge)):
            settle(world, child)


def settle(world: World, node: Node, *, reviewing: bool | None = None) -> None:
    """Work one object's effective status out anew. `reviewing` None: as it is."""
    under_review = node.values.get("effective_status") == REVIEWING if reviewing is None else reviewing
    above = world.nodes[node.parent[1]].values["effective_status"] if node.parent else None
    found = effective_status(node.kind, str(node.values["status"]), above, reviewing=under_review)
    # Of the world's start the status follows by itself; who is gone has to be taken out of the lists all the same.
    if found != node.values["effective_status"] or node.hidden is not (found in GONE):
        # A status from above is no change of the object's own: when it was updated stays (M).
        updated_at, updated_time = node.updated_at, node.values["updated_time"]
        values = {"effective_status": found, "updated_time": updated_time}
        world.change(node, values, hidden=found in GONE).updated_at = updated_at
