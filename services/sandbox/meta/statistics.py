"""Daily numbers of every object of the world: the rows that every statistics answer of Meta has to add up to.

`rows` gives them, `added` adds them up, `split` cuts them by what the audience is. An ad set is the sum of its ads, a
campaign of its ad sets, an account of its campaigns, a page of its posts, and a row of its parts: exactly, because
each is a count of places in the same day's row of impressions (`series.py`, `patterns.py`). They end yesterday, in the
account's zone, by the sandbox's clock.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

from services.sandbox.meta.briefs import Brief, node_of
from services.sandbox.meta.catalog import ACCOUNT_CHILDREN
from services.sandbox.meta.dice import mix
from services.sandbox.meta.families import Run
from services.sandbox.meta.patterns import PERIOD, count, counts_of, pattern
from services.sandbox.meta.series import POST_DAYS, Series
from services.sandbox.meta.world import Node, World

MAX_DAYS = 1200
"""Longer ranges are read from their end: nothing of the world is older."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Impressions `low` to below `high` of one day's row, and what they cost."""

    sort: str
    low: int
    high: int
    impression_micros: int = 0
    click_micros: int = 0
    purchase_micros: int = 0


@dataclass(frozen=True, slots=True)
class Numbers:
    """What happened. Money is in millionths of the account's currency; of a post, impressions are its views."""

    impressions: int = 0
    reach: int = 0
    clicks: int = 0
    link_clicks: int = 0
    landing_page_views: int = 0
    leads: int = 0
    purchases: int = 0
    video_views: int = 0
    video_p25: int = 0
    video_p50: int = 0
    video_p75: int = 0
    video_p95: int = 0
    video_p100: int = 0
    thruplays: int = 0
    likes: int = 0
    comments: int = 0
    shares: int = 0
    saves: int = 0
    reposts: int = 0
    quotes: int = 0
    profile_visits: int = 0
    follows: int = 0
    spend_micros: int = 0
    purchase_micros: int = 0

    @property
    def views(self) -> int:
        return self.impressions


_NAMES = tuple(field.name for field in fields(Numbers))


@dataclass(frozen=True, slots=True)
class Row(Numbers):
    """The numbers of one object on one day, or of several together: then `date` is the first day."""

    id: str = ""
    date: dt.date = dt.date.min
    pieces: tuple[Piece, ...] = ()


def rows(world: World, node: Node | Brief, since: dt.date, until: dt.date, by: str | None = None) -> list[Row]:
    """A row per day from `since` to `until`, both inclusive, that is over; days without anything are rows of zeros.

    `by`: a row per day of each object that this child or edge lists (`campaigns`, `ads`, `posts`) instead, object by
    object in the order of the list. What was deleted since the start of the world keeps its numbers; what was deleted
    before never had any and has no rows. Nothing for objects that have no numbers (a business, a pixel).
    """
    return list(each_row(world, node, since, until, by))


def each_row(world: World, node: Node | Brief, since: dt.date, until: dt.date, by: str | None = None) -> Iterator[Row]:
    """The same, one by one: a large account has hundreds of thousands."""
    series = world.series.get(node.account)
    if series is None:
        return
    days = list(_days(since, min(until, series.yesterday())))
    chosen: Iterable[Node | Brief] = (node,)
    if by is not None:
        chosen = _children(world, series, node_of(node), by)
    elif isinstance(node, Brief) and node.family is not series.family:
        chosen = (node.node(),)
    for each in chosen:
        yield from _rows(_Shares(world, series, each), days)


def added(some: Iterable[Row], row_id: str | None = None) -> Row:
    """The sum of rows: can be split like one of them. `row_id`: whose sum it is, else the first row's."""
    listed = list(some)
    sums = {name: sum(getattr(row, name) for row in listed) for name in _NAMES}
    first = min((row.date for row in listed), default=dt.date.min)
    name = row_id if row_id is not None else listed[0].id if listed else ""
    return Row(**sums, id=name, date=first, pieces=tuple(piece for row in listed for piece in row.pieces))


def split(row: Row, *dimensions: str) -> list[tuple[tuple[str, ...], Row]]:
    """The row cut by audience: the dimensions' values and the part's numbers, which add up to the row's.

    Dimensions as in `patterns.DIMENSIONS`. Parts without impressions are left out. Raises: KeyError for another one.
    """
    found: dict[tuple[str, ...], dict[str, int]] = {}
    for piece in row.pieces:
        for values, events in pattern(piece.sort).parts(dimensions).items():
            if not count(events["impressions"], piece.low, piece.high):
                # Without an impression nothing else has happened either.
                continue
            sums = found.setdefault(values, {})
            for name, number in _priced(piece, counts_of(events, piece.low, piece.high)).items():
                sums[name] = sums.get(name, 0) + number
    return [(values, Row(**found[values], id=row.id, date=row.date, pieces=())) for values in sorted(found)]


def lifetime(world: World, node: Node) -> list[Row]:
    """The days of a post up to yesterday: added up they are its lifetime counters."""
    return list(_rows(_Shares(world, world.series[node.account], node), _life(world, node)))


def lifetime_sum(world: World, node: Node) -> tuple[Numbers, tuple[tuple[dt.date, int], ...]]:
    """The sum of a post's days, and how many comments came on which of them; for lists, which ask it of each row."""
    shares = _Shares(world, world.series[node.account], node)
    found = pattern("posts")
    sums, at = [0] * len(found.names), found.names.index("comments")
    comments = []
    for day in _life(world, node):
        for piece in shares.pieces(day):
            counted = found.between(piece.low, piece.high)
            sums = [before + more for before, more in zip(sums, counted, strict=True)]
            if counted[at]:
                comments.append((day, counted[at]))
    return Numbers(**dict(zip(found.names, sums, strict=True))), tuple(comments)


def _life(world: World, node: Node) -> Iterator[dt.date]:
    """The days on which a post is seen, as far as they are over."""
    series = world.series[node.account]
    begun = series.day_of(_published_at(node))
    return _days(begun, min(series.yesterday(), begun + dt.timedelta(days=POST_DAYS - 1)))


def _days(since: dt.date, until: dt.date) -> Iterator[dt.date]:
    for number in range(min((until - since).days + 1, MAX_DAYS) - 1, -1, -1):
        yield until - dt.timedelta(days=number)


def _children(world: World, series: Series, node: Node, by: str) -> Iterator[Node | Brief]:
    """Those that have numbers of their own in brief; the others are made, for what lies below them."""
    edge = ACCOUNT_CHILDREN.get(node.kind, {}).get(by, by)
    for child in world.listed(node, edge).briefs():
        if isinstance(child, Brief):
            if not child.family.is_gone(child.index):
                yield child if child.family is series.family else child.node()
        elif not _was_gone(world, child):
            yield child


def _was_gone(world: World, node: Node) -> bool:
    if not node.hidden:
        return False
    place = world.nodes.place_of(node.id)
    return place is not None and place[0].is_gone(place[1])


class _Shares:
    """What an object has of its account's days: a part of the family, and posts that came later."""

    def __init__(self, world: World, series: Series, node: Node | Brief) -> None:
        self.id = node.id
        self._series = series
        self._posts: tuple[Node, ...] = ()
        if isinstance(node, Brief):
            self._parts: tuple[tuple[int, int], ...] = ((node.index, node.index + 1),)
            return
        self._parts = _parts(world, series, node)
        if series.sort == "posts":
            self._posts = tuple(_new_posts(world, series, node))

    def pieces(self, day: dt.date) -> Iterator[Piece]:
        series = self._series
        for part in self._parts:
            begin, end = series.stretch(day, *part)
            if begin < end and series.sort == "ads":
                prices = series.day(day)
                yield Piece("ads", begin, end, prices.impression_micros, prices.click_micros, prices.purchase_micros)
            elif begin < end:
                yield Piece(series.sort, begin, end)
        for post in self._posts:
            age = (day - series.day_of(_published_at(post))).days
            if 0 <= age < POST_DAYS:
                seed = mix(series.seed, day.toordinal(), int.from_bytes(post.id.encode(), "big"))
                views = (series.least + seed % (series.most - series.least)) * (POST_DAYS - age) // POST_DAYS
                yield Piece("posts", seed % PERIOD, seed % PERIOD + views)


def _rows(shares: _Shares, days: Iterable[dt.date]) -> Iterator[Row]:
    for day in days:
        pieces = tuple(shares.pieces(day))
        sums = _whole(pieces[0]) if pieces else {}
        for piece in pieces[1:]:
            for name, number in _whole(piece).items():
                sums[name] += number
        yield Row(**sums, id=shares.id, date=day, pieces=pieces)


def _parts(world: World, series: Series, node: Node) -> tuple[tuple[int, int], ...]:
    """The members of the family whose numbers are the object's: a post that is removed takes its own along."""
    place = world.nodes.place_of(node.id)
    if place is not None and place[0] is series.family:
        return ((place[1], place[1] + 1),)
    for run in node.runs.values():
        if isinstance(run, Run) and run.family is series.family:
            return tuple(run.family.left_of(run.low, run.high))
    return ()


def _new_posts(world: World, series: Series, node: Node) -> Iterator[Node]:
    """Posts that came after the start of the world: the object itself, or what it lists."""
    kind = series.family.kind
    if node.kind == kind:
        # What lies inside a carousel has no numbers of its own; a reply has.
        inside = node.parent is not None and node.parent[0] == kind and not node.values.get("is_reply")
        if world.nodes.place_of(node.id) is None and _is_public(node) and not inside:
            yield node
        return
    edge = ACCOUNT_CHILDREN.get(node.kind, {}).get("posts")
    for node_id in node.edges.get(edge, ()) if edge else ():
        post = world.nodes[node_id]
        if post.kind == kind and _is_public(post):
            yield post


def _is_public(post: Node) -> bool:
    return not post.hidden and post.values.get("is_published") is not False


def _published_at(post: Node) -> dt.datetime:
    """A draft or a scheduled post is made before it is published."""
    shown = post.values.get("created_time") or post.values.get("timestamp")
    return shown if isinstance(shown, dt.datetime) else post.created_at


def _whole(piece: Piece) -> dict[str, int]:
    """The numbers of an uncut piece."""
    found = pattern(piece.sort)
    return _priced(piece, dict(zip(found.names, found.between(piece.low, piece.high), strict=True)))


def _priced(piece: Piece, counts: dict[str, int]) -> dict[str, int]:
    charged = counts.pop("charged", 0)
    if piece.impression_micros:
        # Whole cents for some impressions, not parts of a cent for each: Meta's amounts have no parts of cents.
        paid = charged * piece.impression_micros
        counts["spend_micros"] = paid + counts.get("clicks", 0) * piece.click_micros
        counts["purchase_micros"] = counts.get("purchases", 0) * piece.purchase_micros
    return counts
