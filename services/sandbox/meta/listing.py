"""Pages of a list: by cursor in both directions, or by offset.

Page shape, `next` and its absence, offset O (docs/graph-api/results); `cursors.after` is there on the last page too
(S). A limit that is too large for an edge is lowered, and the links stay right (O): to 100 for posts (T) and phone
numbers (O). Default of 25 M; that ad edges refuse more than 5000 is M. Cursors are opaque; ours name the row they
stand behind, so they go bad when that row leaves the list (O).
"""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from services.sandbox.meta.errors import bad_parameter, too_deep, too_much_data
from services.sandbox.meta.listings import Listing
from services.sandbox.meta.loose import read_names
from services.sandbox.meta.node import Node
from services.sandbox.meta.params import Params

DEFAULT_LIMIT = 25
MAX_AD_ROWS = 5000
LARGEST_PAGES: Mapping[str, int] = {
    "post": 100, "media": 100, "threads_post": 100, "comment": 100, "ig_comment": 50, "phone_number": 100
}  # fmt: skip
"""By what is listed: T for posts, O for Instagram comments and phone numbers, M for the others."""
DEEPEST: Mapping[str, int] = {"media": 10_000, "comment": 10_000, "ig_comment": 10_000}
"""Rows behind which no cursor leads: O for media (ig-user/media), comments "tens of thousands" (O), the number M."""
_ZERO_ALLOWED = frozenset({"post", "media", "threads_post", "comment", "ig_comment"})
"""`limit(0)` with a summary counts comments and reactions (T)."""
_PLACES = frozenset({"after", "before", "limit", "offset", "since", "until"})
SUMMARIES: Mapping[str, Mapping[str, Any]] = {
    "comment": {"order": "ranked", "can_comment": True},  # O, reference/object/comments
    "like": {"can_like": True, "has_liked": False},  # O, reference/object/likes
    "reaction": {"viewer_reaction": "NONE"},  # O, reference/object/reactions
}
"""What a summary tells beside the count, by what is listed."""


class NotCovered(Exception):  # noqa: N818  reads as the fact it reports
    """Meta has this, the sandbox does not yet: answered with 501."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of rows and where it lies in the list."""

    rows: Sequence[Node]
    start: int
    total: int
    limit: int
    by_offset: bool = False

    @property
    def end(self) -> int:
        return self.start + len(self.rows)


def take_page(rows: Listing, kind: str, params: Params) -> Page:
    """Raises: GraphError 100 for a bad limit, offset or cursor; code 1 for too large a page of ad objects."""
    limit = _limit(params, kind)
    total = len(rows)
    after, before = params.get("after"), params.get("before")
    if after:
        start = _position(rows, after) + 1
        if start > DEEPEST.get(kind, total):
            raise too_deep()
        return Page(rows[start : start + limit], start, total, limit)
    if before:
        end = _position(rows, before)
        start = max(0, end - limit)
        return Page(rows[start:end], start, total, limit)
    start = _whole(params, "offset", 0)
    return Page(rows[start : start + limit], start, total, limit, by_offset="offset" in params)


def paging_of(page: Page, url: str, params: Params) -> dict[str, Any] | None:
    """The `paging` object; None for a page without rows (M)."""
    if not page.rows:
        return None
    paging = dict(_links(page, url, params))
    if page.by_offset:
        return paging or None
    cursors = {"before": _cursor(page.rows[0]), "after": _cursor(page.rows[-1])}
    return {"cursors": cursors, **paging}


def _links(page: Page, url: str, params: Params) -> Iterator[tuple[str, str]]:
    kept = {name: value for name, value in params.items() if name not in _PLACES}
    kept |= {name: params[name] for name in ("since", "until") if name in params}
    kept["limit"] = str(page.limit)
    if page.end < page.total:
        place = {"offset": str(page.end)} if page.by_offset else {"after": _cursor(page.rows[-1])}
        yield "next", f"{url}?{urlencode({**kept, **place})}"
    if page.start > 0:
        back = {"offset": str(max(0, page.start - page.limit))} if page.by_offset else {"before": _cursor(page.rows[0])}
        yield "previous", f"{url}?{urlencode({**kept, **back})}"


def summary_of(kind: str, total: int, params: Mapping[str, str]) -> dict[str, Any] | None:
    """The `summary` object; None where it is not asked for. `summary=true`, or names of what it should tell."""
    text = params.get("summary", "").strip().lower()
    if text in {"", "false", "0"}:
        return None
    known = {**SUMMARIES.get(kind, {}), "total_count": total}
    if "order" in known and "order" in params:
        known["order"] = params["order"]
    if text in {"true", "1"}:
        return known
    try:
        names = read_names(text)
    except ValueError as error:
        raise bad_parameter("Param summary must be a boolean or a list of names") from error  # M
    return {name: known[name] for name in names if name in known}


def _cursor(node: Node) -> str:
    return base64.urlsafe_b64encode(node.id.encode()).decode().rstrip("=")


def _position(rows: Listing, cursor: str) -> int:
    """Text of the refusal O (error 2642 of ads insights); its code on other edges is not documented: 100 (M)."""
    try:
        node_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise bad_parameter("Invalid cursors values") from error
    position = rows.position(node_id)
    if position is None:
        raise bad_parameter("Invalid cursors values")
    return position


def _limit(params: Params, kind: str) -> int:
    limit = _whole(params, "limit", DEFAULT_LIMIT)
    if limit < 1 and kind not in _ZERO_ALLOWED:
        raise bad_parameter("Param limit must be a positive integer")
    largest = LARGEST_PAGES.get(kind)
    if largest is None and limit > MAX_AD_ROWS:
        raise too_much_data()
    return min(limit, largest) if largest else limit


def _whole(params: Params, name: str, default: int) -> int:
    text = params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise bad_parameter(f"Param {name} must be a {'non-negative' if name == 'offset' else 'positive'} integer")
    return int(text)
