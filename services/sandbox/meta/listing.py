"""Pages of a list: by cursor in both directions, or by offset.

Page shape, `next` and its absence, offset O (docs/graph-api/results); `cursors.after` is there on the last page too
(S). A limit that is too large for an edge is lowered, and the links stay right (O): to 100 for posts (O, v2.4 upgrade
guide) and phone numbers (O). Default of 25 M; that ad edges refuse more than 5000 is M. Cursors are opaque; ours name
the row they stand behind, so they go bad when that row leaves the list (O).
"""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from services.sandbox.meta.briefs import Row, node_of
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
"""By what is listed: O for posts of pages, Instagram comments and phone numbers, M for the others."""
DEEPEST: Mapping[str, int] = {"media": 10_000, "comment": 10_000, "ig_comment": 10_000}
"""Rows behind which no cursor leads: O for media (ig-user/media), comments "tens of thousands" (O), the number M."""
_ZERO_ALLOWED = frozenset({"post", "media", "threads_post", "comment", "ig_comment"})
"""`limit(0)` with a summary counts comments and reactions (T)."""
_PLACES = frozenset({"after", "before", "limit", "offset"})
_PIECE = 50
SUMMARIES: Mapping[str, Mapping[str, Any]] = {
    "comment": {"order": "ranked", "can_comment": True},  # O, reference/object/comments
    "like": {"can_like": True, "has_liked": False},  # O, reference/object/likes
    "reaction": {"viewer_reaction": "NONE"},  # O, reference/object/reactions
}
"""What a summary tells beside the count, by what is listed."""


Keep = Callable[[Row], bool]


class NotCovered(Exception):  # noqa: N818  reads as the fact it reports
    """Meta has this, the sandbox does not yet: answered with 501."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A list and which of its rows count. `keep` None: all of them, without being looked at.

    `ends`: from the first such row on no other one counts. `begin`: before this place none does. Both are asked of
    rows in brief, so that the rows that do not count are not made.
    """

    rows: Listing
    keep: Keep | None = None
    ends: Keep | None = None
    begin: int = 0

    @property
    def is_whole(self) -> bool:
        return self.keep is None and self.ends is None and not self.begin

    def __len__(self) -> int:
        """Looks at every row where not all count."""
        return len(self.rows) if self.is_whole else sum(1 for _ in self._counted(0))

    def forward(self, place: int, skipped: int = 0) -> Iterator[Node]:
        """Rows that count from a place of the list on, without the first of them."""
        return map(node_of, islice(self._counted(place), skipped, None))

    def _counted(self, place: int) -> Iterator[Row]:
        for row in self.rows.briefs(max(place, self.begin)):
            if self.ends is not None and self.ends(row):
                return
            if self.keep is None or self.keep(row):
                yield row

    def backward(self, place: int) -> Iterator[Node]:
        """Rows that count before a place, the nearest first; the list is looked at piece by piece."""
        for stop in range(place, self.begin, -_PIECE):
            start = max(self.begin, stop - _PIECE)
            for row in reversed(list(islice(self.rows.briefs(start), stop - start))):
                if self.keep is None or self.keep(row):
                    yield node_of(row)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of rows, and whether more lie on either side."""

    rows: Sequence[Node]
    limit: int
    has_previous: bool
    has_next: bool
    offset: int | None = None
    """Where it begins; only for paging by offset."""


def take_page(chosen: Selection, kind: str, params: Params) -> Page:
    """Raises: GraphError 100 for a bad limit, offset or cursor; code 1 for too large a page of ad objects."""
    limit = _limit(params, kind)
    after, before = params.get("after"), params.get("before")
    if after:
        place = _position(chosen.rows, after) + 1
        if place > DEEPEST.get(kind, place):
            raise too_deep()
        return _page(chosen, place, limit)
    if before:
        place = _position(chosen.rows, before)
        nearest = list(islice(chosen.backward(place), limit + 1))
        rows = nearest[:limit][::-1]
        return Page(rows, limit, len(nearest) > limit, has_next=True)
    if "offset" not in params:
        return _page(chosen, 0, limit)
    offset = _whole(params, "offset", 0)
    if chosen.is_whole:
        found = _page(chosen, min(offset, len(chosen.rows)), limit)
    else:
        rows = list(islice(chosen.forward(0, offset), limit + 1))
        found = Page(rows[:limit], limit, bool(offset), len(rows) > limit)
    return replace(found, offset=offset, has_previous=offset > 0)


def _page(chosen: Selection, place: int, limit: int) -> Page:
    if chosen.is_whole:
        rows: Sequence[Node] = chosen.rows[place : place + limit]
        return Page(rows, limit, place > 0, place + len(rows) < len(chosen.rows))
    found = list(islice(chosen.forward(place), limit + 1))
    return Page(found[:limit], limit, next(chosen.backward(place), None) is not None, len(found) > limit)


def paging_of(page: Page, url: str, params: Params) -> dict[str, Any] | None:
    """The `paging` object; None for a page without rows (M)."""
    if not page.rows:
        return None
    paging = dict(_links(page, url, params))
    if page.offset is not None:
        return paging or None
    cursors = {"before": _cursor(page.rows[0]), "after": _cursor(page.rows[-1])}
    return {"cursors": cursors, **paging}


def _links(page: Page, url: str, params: Params) -> Iterator[tuple[str, str]]:
    kept = {name: value for name, value in params.items() if name not in _PLACES} | {"limit": str(page.limit)}
    ahead, back = {"after": _cursor(page.rows[-1])}, {"before": _cursor(page.rows[0])}
    if page.offset is not None:
        ahead = {"offset": str(page.offset + len(page.rows))}
        back = {"offset": str(max(0, page.offset - page.limit))}
    if page.has_next:
        yield "next", f"{url}?{urlencode({**kept, **ahead})}"
    if page.has_previous:
        yield "previous", f"{url}?{urlencode({**kept, **back})}"


def summary_of(kind: str, count: Callable[[], int], params: Mapping[str, str]) -> dict[str, Any] | None:
    """The `summary` object; None where it is not asked for. `summary=true`, or names of what it should tell.

    `count` is called only for an answer that shows it.
    """
    text = params.get("summary", "").strip().lower()
    if text in {"", "false", "0"}:
        return None
    known = {**SUMMARIES.get(kind, {}), "total_count": count()}
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
