"""The true daily numbers, as the sandbox's own interface shows them: what every statistics answer adds up to.

What Meta has no number for is None: impressions of posts and pages are gone (O, removals of November 2025 and June
2026), ads have neither views nor likes of their own, and Instagram counts no clicks on media.
"""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from services.sandbox.meta.catalog import ACCOUNT_CHILDREN
from services.sandbox.meta.statistics import Row, rows
from services.sandbox.meta.world import World

_Shown = Mapping[str, Callable[[Row], int]]
_ADS: _Shown = {
    "impressions": lambda row: row.impressions,
    "clicks": lambda row: row.clicks,
    "spend_micros": lambda row: row.spend_micros,
}
_POSTS: _Shown = {"views": lambda row: row.views, "likes": lambda row: row.likes}
_SHOWN: Mapping[str, _Shown] = {
    "ad_account": _ADS,
    "campaign": _ADS,
    "adset": _ADS,
    "ad": _ADS,
    "page": {**_POSTS, "clicks": lambda row: row.clicks},
    "post": {**_POSTS, "clicks": lambda row: row.clicks},
    "instagram": _POSTS,
    "media": _POSTS,
    "threads": {**_POSTS, "clicks": lambda row: row.link_clicks},
    "threads_post": _POSTS,
}
NAMES = ("impressions", "clicks", "spend_micros", "views", "likes")


def daily_rows(
    world: World, kind: str, node_id: str, since: date, until: date, by: str | None
) -> list[dict[str, Any]] | None:
    """A row per object and day; None for an object, or a sort of children, that has no numbers.

    Creatives have those of the ads that show them, though no edge of Meta's tells them.
    """
    node = world.nodes.get(node_id)
    shown = _SHOWN.get(kind)
    if node is None or node.kind != kind or shown is None:
        return None
    if by is not None and by not in ACCOUNT_CHILDREN.get(kind, {}):
        return None
    return [_written(row, shown) for row in rows(world, node, since, until, by)]


def _written(row: Row, shown: _Shown) -> dict[str, Any]:
    counts = {name: shown[name](row) if name in shown else None for name in NAMES}
    return {"id": row.id, "date": row.date.isoformat(), **counts}
