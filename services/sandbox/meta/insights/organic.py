"""What insights of pages, posts, Instagram and Threads have in common: metrics by name, one entry each, days and links.

Shape of an entry O (docs/graph-api/reference/insights, instagram-platform insights, threads/insights). Days end at
midnight Pacific time, whatever the zone of whoever asks: "the end_time will be January 2, 2018 at 8:00 GMT" for the
numbers of January 1 (O, pages-api/platforminsights/page). One wrong metric fails the whole call (T).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from services.sandbox.meta.errors import GraphError, bad_parameter
from services.sandbox.meta.insights.days import Period
from services.sandbox.meta.loose import read_names
from services.sandbox.meta.moments import read_moment
from services.sandbox.meta.operations import Context
from services.sandbox.meta.params import Params
from services.sandbox.meta.statistics import Numbers, Row, added, rows
from services.sandbox.meta.world import Node, World

PACIFIC = ZoneInfo("America/Los_Angeles")
KEPT_DAYS = 730  # O: two years
Count = Callable[[Numbers, Node], Any]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: how it follows from the numbers of a stretch of days."""

    name: str
    title: str
    count: Count
    periods: tuple[str, ...] = ("day",)
    unique: bool = False
    """People, counted once in a stretch of days; other numbers add up."""
    breakdowns: tuple[str, ...] = ()
    description: str = field(default="")


def names_of(params: Params, param: str = "metric") -> list[str]:
    """The metrics that are asked for, each once. Raises: GraphError 3001/1504028 when there is none (O)."""
    try:
        names = list(dict.fromkeys(read_names(params.get(param, ""))))
    except ValueError as error:
        raise bad_parameter(f"Param {param} must be an array.") from error
    if not names:
        text = "No metric was specified to be fetched. Please specify one or more metrics to be fetched and try again."
        raise GraphError(400, 3001, f"(#3001) {text}", subcode=1504028)
    return names


def word(params: Params, name: str, allowed: Sequence[str]) -> str | None:
    """One of the allowed words, or None without it. Raises: GraphError 100."""
    given = params.get(name, "").strip('"[]')
    if given and given not in allowed:
        raise bad_parameter(f"{name} must be one of the following values: {', '.join(allowed)}")
    return given or None


def breakdowns_of(params: Params, allowed: Sequence[str]) -> tuple[str, ...]:
    """Raises: GraphError 100."""
    try:
        names = tuple(dict.fromkeys(read_names(params.get("breakdown", ""))))
    except ValueError as error:
        raise bad_parameter("Param breakdown must be an array.") from error
    for index, name in enumerate(names):
        if name not in allowed:
            raise bad_parameter(f"breakdown[{index}] must be one of the following values: {', '.join(allowed)}")
    return names


def window(params: Params, now: datetime, default_days: int, *, newest: date) -> Period:
    """The days from `since` to before `until`; by default the last ones up to `newest`.

    Raises: GraphError 100 for moments that cannot be read or are the wrong way round.
    """
    since, until = read_moment(params, "since", now), read_moment(params, "until", now)
    if since is None and until is None:
        return Period(newest - timedelta(days=default_days - 1), newest)
    oldest, latest = now - timedelta(days=KEPT_DAYS), now + timedelta(days=1)
    if min(each for each in (since, until) if each is not None) < oldest:
        # Text T (recorded by clients of Instagram's insights).
        raise bad_parameter("since param is not valid. Metrics data is available for the last 2 years")
    until = now if until is None else until
    since = until - timedelta(days=default_days) if since is None else since
    if since > until:
        raise bad_parameter("since param must be before until param")  # text M
    since, until = min(since, latest), min(until, latest)
    first = since.astimezone(UTC).date()
    last = max(first, (until.astimezone(UTC) - timedelta(seconds=1)).date())
    return Period(first, last)


def end_time(day: date) -> str:
    """When a day's numbers are complete."""
    return written(datetime(day.year, day.month, day.day, tzinfo=PACIFIC) + timedelta(days=1))


def written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


def entry(node: Node, metric: Metric, period: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """One metric in one period."""
    return {
        "name": metric.name,
        "period": period,
        **content,
        "title": metric.title,
        "description": metric.description or metric.title,
        "id": f"{node.id}/insights/{metric.name}/{period}",
    }


def answer(context: Context, entries: Sequence[Mapping[str, Any]], chosen: Period | None) -> dict[str, Any]:
    """The list, with links to the stretches of days before and after (O)."""
    content: dict[str, Any] = {"data": list(entries)}
    if chosen is not None and entries:
        content["paging"] = {
            "previous": _link(context, chosen.since - timedelta(days=len(chosen)), chosen.since),
            "next": _link(context, chosen.until + timedelta(days=1), chosen.until + timedelta(days=1 + len(chosen))),
        }
    return content


def _link(context: Context, since: date, until: date) -> str:
    kept = {name: value for name, value in context.params.items() if name not in {"since", "until", "access_token"}}
    moments = {"since": _unix(since), "until": _unix(until)}
    query = {"access_token": context.token.secret, **kept, **moments}
    return f"{context.root}/{context.named.id}/{context.edge}?{urlencode(query)}"


def _unix(day: date) -> str:
    return str(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()))


def not_a_metric() -> GraphError:
    """Text T: issue 656 of facebook-python-business-sdk."""
    return bad_parameter("The value must be a valid insights metric")


def plain(name: str) -> Count:
    """A metric that is one of the numbers."""
    return lambda numbers, node: getattr(numbers, name)


def total(*names: str) -> Count:
    return lambda numbers, node: sum(getattr(numbers, name) for name in names)


def nothing(numbers: Numbers, node: Node) -> int:
    """What nobody does in this world."""
    return 0


class Days:
    """The numbers of an object by day, those days only that are over."""

    def __init__(self, world: World, node: Node, period: Period) -> None:
        self._rows = {row.date: row for row in rows(world, node, period.since, period.until)}

    def has(self, day: date) -> bool:
        return day in self._rows

    def of(self, day: date) -> Row:
        return self._rows[day]

    def sum(self, period: Period) -> Row:
        return added(self._rows[day] for day in period.days() if day in self._rows)
