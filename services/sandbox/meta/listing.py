"""Edges: which objects one lists, and its pages by cursor.

Page shape O (docs/graph-api/results): the end is where `next` is missing; `cursors.after` is there on the last page
too (S). Default of 25 M; 100 at most on a page's posts T; that ad edges refuse more than 5000 is M.
Cursors are opaque; ours name the row they stand behind, so they go bad when that row leaves the list (O).
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from services.sandbox.meta.errors import bad_parameter, too_much_data
from services.sandbox.meta.params import Params
from services.sandbox.meta.world import Node

DEFAULT_LIMIT = 25
MAX_POSTS = 100
MAX_AD_ROWS = 5000
_UNCOVERED = ("filtering", "date_preset", "time_range", "is_completed", "offset", "order", "sort", "updated_since")
_TRUE = {"true", "1", "total_count", '["total_count"]'}


class NotCovered(Exception):  # noqa: N818  reads as the fact it reports
    """Meta has this, the sandbox does not yet: answered with 501."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of rows and where it lies in the list."""

    rows: Sequence[Node]
    start: int
    total: int
    limit: int

    @property
    def end(self) -> int:
        return self.start + len(self.rows)


def choose(nodes: Sequence[Node], params: Mapping[str, str]) -> list[Node]:
    """What a list shows: archived and deleted objects only where `effective_status` asks for them."""
    for name in _UNCOVERED:
        if name in params:
            raise NotCovered(f"parameter {name}")
    wanted = _status_filter(params)
    if wanted is None:
        chosen = [node for node in nodes if not node.hidden]
    else:
        chosen = [node for node in nodes if node.values.get("effective_status", node.status) in wanted]
    since, until = _moment(params, "since"), _moment(params, "until")
    if since is not None:
        chosen = [node for node in chosen if node.created_at.timestamp() >= since]
    if until is not None:
        chosen = [node for node in chosen if node.created_at.timestamp() <= until]
    return chosen


def take_page(nodes: Sequence[Node], params: Mapping[str, str], *, posts: bool) -> Page:
    """Raises: GraphError 100 for a bad limit or cursor; code 1 for too large a page of ad objects."""
    limit = _limit(params)
    if posts:
        limit = min(limit, MAX_POSTS)
    elif limit > MAX_AD_ROWS:
        raise too_much_data()
    after, before = params.get("after"), params.get("before")
    if after:
        start = _position(nodes, after) + 1
        return Page(nodes[start : start + limit], start, len(nodes), limit)
    if before:
        end = _position(nodes, before)
        start = max(0, end - limit)
        return Page(nodes[start:end], start, len(nodes), limit)
    return Page(nodes[:limit], 0, len(nodes), limit)


def paging_of(page: Page, url: str, params: Params) -> dict[str, Any] | None:
    """The `paging` object; None for a page without rows (M)."""
    if not page.rows:
        return None
    before, after = _cursor(page.rows[0]), _cursor(page.rows[-1])
    paging: dict[str, Any] = {"cursors": {"before": before, "after": after}}
    kept = {name: value for name, value in params.items() if name not in {"after", "before", "limit"}}
    kept["limit"] = str(page.limit)
    if page.end < page.total:
        paging["next"] = f"{url}?{urlencode({**kept, 'after': after})}"
    if page.start > 0:
        paging["previous"] = f"{url}?{urlencode({**kept, 'before': before})}"
    return paging


def wants_summary(params: Mapping[str, str]) -> bool:
    return params.get("summary", "").lower() in _TRUE


def _cursor(node: Node) -> str:
    return base64.urlsafe_b64encode(node.id.encode()).decode().rstrip("=")


def _position(nodes: Sequence[Node], cursor: str) -> int:
    """Text of the refusal M."""
    try:
        node_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise bad_parameter("Invalid cursors values") from error
    for index, node in enumerate(nodes):
        if node.id == node_id:
            return index
    raise bad_parameter("Invalid cursors values")


def _limit(params: Mapping[str, str]) -> int:
    text = params.get("limit", str(DEFAULT_LIMIT))
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise bad_parameter("Param limit must be a positive integer")
    limit = int(text)
    if limit < 1:
        raise bad_parameter("Param limit must be a positive integer")
    return limit


def _status_filter(params: Mapping[str, str]) -> set[str] | None:
    text = params.get("effective_status")
    if text is None:
        return None
    try:
        wanted = json.loads(text)
    except ValueError as error:
        raise bad_parameter("Param effective_status must be an array.") from error
    if not isinstance(wanted, list) or not all(isinstance(status, str) for status in wanted):
        raise bad_parameter("Param effective_status must be an array.")
    return set(wanted)


def _moment(params: Mapping[str, str], name: str) -> float | None:
    """Unix seconds or ISO 8601; Meta takes any strtotime text (O), the sandbox only these."""
    text = params.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 12:
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise NotCovered(f"parameter {name} in this form") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
