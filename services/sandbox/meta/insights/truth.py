"""The true daily numbers, as the sandbox's own interface shows them: what every statistics answer adds up to.

What Meta has no number for is None: impressions of posts and pages are gone (O, removals of November 2025 and June
2026), ads have neither views nor likes of their own, and Instagram counts no clicks on media.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

from services.sandbox.meta.catalog import ACCOUNT_CHILDREN
from services.sandbox.meta.statistics import Row, each_row
from services.sandbox.meta.world import Node, World

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


def node_with_numbers(world: World, kind: str, node_id: str, by: str | None) -> Node | None:
    """The object; None where it, or a sort of its children, has no numbers.

    Creatives have those of the ads that show them, though no edge of Meta's tells them.
    """
    node = world.nodes.get(node_id)
    if node is None or node.kind != kind or kind not in _SHOWN:
        return None
    return node if by is None or by in ACCOUNT_CHILDREN.get(kind, {}) else None


def daily_rows(world: World, node: Node, since: date, until: date, by: str | None) -> Iterator[dict[str, Any]]:
    """A row per object and day."""
    shown = _SHOWN[node.kind]
    return (_written(row, shown) for row in each_row(world, node, since, until, by))


def _written(row: Row, shown: _Shown) -> dict[str, Any]:
    counts = {name: shown[name](row) if name in shown else None for name in NAMES}
    return {"id": row.id, "date": row.date.isoformat(), **counts}
