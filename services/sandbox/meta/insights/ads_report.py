"""Reports of ads insights: rows by object, slice of days and part of the audience, made as far as somebody reads.

Objects that were not delivered in a slice have no row (T); rows come object by object in the order of the account's
lists, each with its slices in turn (M). Levels and what they contain O (marketing-api/insights#levels).
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import Any

from services.sandbox.meta.briefs import Brief, node_of
from services.sandbox.meta.errors import GraphError
from services.sandbox.meta.insights.ads_fields import render, sort_key, value_of
from services.sandbox.meta.insights.ads_query import AdsQuery
from services.sandbox.meta.insights.ads_row import RowContext
from services.sandbox.meta.insights.combinations import HOURLY
from services.sandbox.meta.insights.days import HISTORY_MONTHS, Period, months_before
from services.sandbox.meta.insights.filters import Filter, chosen, passes
from services.sandbox.meta.insights.names import LEVELS, known
from services.sandbox.meta.statistics import Numbers, Row, added, rows, split
from services.sandbox.meta.world import Node, World

LEVEL_OF: Mapping[str, str] = {"ad_account": "account", "campaign": "campaign", "adset": "adset", "ad": "ad"}
_EDGES = {"campaign": "campaigns", "adset": "adsets", "ad": "ads"}
_ABOVE = {"campaign": "campaign_id", "adset": "adset_id"}
OLD_REACH_MONTHS = 13  # O
KEPT_MONTHS: Mapping[str, int] = {"frequency_value": 6, **dict.fromkeys(HOURLY, 13)}
"""Days before are in no report by these (O, blog of 16 October 2025 on metric availability)."""
MAX_POINTS, MAX_POINTS_OF_A_JOB = 2_000_000, 50_000_000
"""Objects times days times parts that a report may count. Meta has such limits and publishes no number (O)."""
MAX_ROWS_AT_ONCE, MAX_ROWS_OF_A_JOB = 150_000, 300_000
"""Days of objects that may be counted before the first row is known: where rows are sorted, or judged by numbers or by
objects below them."""
MAX_ROWS_SHOWN = 50_000
"""In one answer, and in one that is sorted (O: limited "by number of rows in response"; number ours)."""
KEPT_ROWS = 1_000
"""Behind the page that was read last, for pages backwards."""
_OBJECT_COSTS = 10
"""Finding an object takes as long as counting so many of its days."""
_PARTS: Mapping[str, int] = {
    "age": 7,
    "gender": 3,
    "country": 5,
    "region": 15,
    "dma": 7,
    "comscore_market": 7,
    "publisher_platform": 4,
    "platform_position": 9,
    "impression_device": 5,
    "device_platform": 2,
    "frequency_value": 6,
    **dict.fromkeys(HOURLY, 24),
}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a report is about: an object, in a world, asked on a day."""

    world: World
    target: Node
    today: date


class Report:
    """Rows as far as they were read so far."""

    def __init__(self, scope: Scope, query: AdsQuery, *, keeps_old_reach: bool = False) -> None:
        self._scope = scope
        self._query = query
        old = query.since < months_before(scope.today, OLD_REACH_MONTHS)
        self._gives_reach = keeps_old_reach or not (query.breakdowns and old)
        kept_months = min(
            (KEPT_MONTHS[name] for name in query.breakdowns if name in KEPT_MONTHS), default=HISTORY_MONTHS
        )
        self._oldest = months_before(scope.today, kept_months)
        self._summary: dict[str, Any] | None = None
        self._begin()

    @property
    def account(self) -> str:
        """Id of the account that everything in it belongs to."""
        return self._scope.target.account

    def _begin(self) -> None:
        self._made: deque[RowContext] = deque()
        self._passed = 0
        """How many rows came before those at hand."""
        self._coming = self._rows()
        if self._query.sort is not None:
            field, greatest_first = self._query.sort
            self._coming = iter(sorted(self._coming, key=lambda row: sort_key(row, field), reverse=greatest_first))

    def page(self, start: int, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """Rows from a place on, and whether there are more behind them. Quick for the page after the last one.

        Raises: GraphError 100/1487534 for more rows than one answer holds.
        """
        if start < self._passed:
            self._begin()
        while self._passed < start - KEPT_ROWS and (self._made or self._next()):
            self._made.popleft()
            self._passed += 1
        end = start + min(limit, MAX_ROWS_SHOWN + 1)
        while self._passed + len(self._made) <= end and self._next():
            continue
        found = list(islice(self._made, max(0, start - self._passed), end - self._passed))
        if len(found) > MAX_ROWS_SHOWN:
            raise too_much_data()
        return [render(row, self._query.fields) for row in found], self._passed + len(self._made) > end

    def _next(self) -> bool:
        row = next(self._coming, None)
        if row is not None:
            self._made.append(row)
        return row is not None

    def summary(self) -> dict[str, Any] | None:
        """Everything that the rows count, added up (O); None where the call asks for none."""
        query = self._query
        if query.summary is None:
            return None
        if self._summary is None:
            whole = Period(query.since, query.until)
            numbers = added(part for _, part in self._split(self._sum(whole)))
            self._summary = render(self._context(self._scope.target, whole, {}, numbers, {}), query.summary)
        return self._summary

    def _rows(self) -> Iterator[RowContext]:
        periods = [period for period in self._query.periods if self._may_have_numbers(period)]
        for found in self._objects() if periods else ():
            for period in periods:
                numbers = self._numbers(found, period)
                devices = self._devices(numbers)
                for values, part in self._split(numbers):
                    node = node_of(found)
                    row = self._context(node, period, values, part, devices.get(tuple(values.values()), {}))
                    if self._shows(row):
                        yield row

    def _objects(self) -> Iterator[Brief | Node]:
        """What the report has rows for; of a long list most are told in brief."""
        target, level = self._scope.target, self._query.level
        if level == LEVEL_OF[target.kind]:
            # Asked for by its id, a deleted object has its numbers too (O).
            rules = [rule for rule in self._query.filters if rule.level == level]
            if all(passes(target, rule) for rule in rules) and self._passes_above(target):
                yield target
            return
        for node in self._scope.world.listed(target, _EDGES[level]).briefs():
            if chosen(node, level, self._query.filters) and self._passes_above(node):
                yield node

    def _passes_above(self, node: Brief | Node) -> bool:
        """Whether the objects above one that is listed pass the rules about them."""
        for level in self._levels_above(node):
            rules = [rule for rule in self._query.filters if rule.level == level]
            if not all(passes(self._above(node, level), rule) for rule in rules):
                return False
        return True

    def _levels_above(self, node: Brief | Node) -> Sequence[str]:
        return LEVELS[: LEVELS.index(LEVEL_OF[node.kind])]

    def _above(self, node: Brief | Node, level: str) -> Node:
        nodes = self._scope.world.nodes
        return nodes[node.account] if level == "account" else nodes[str(node.values.get(_ABOVE[level]))]

    def _numbers(self, node: Brief | Node, period: Period) -> Row:
        """Of an object, or of those parts of it that rules about lower levels let through."""
        world = self._scope.world
        deepest = _deepest_level(self._query)
        if LEVELS.index(deepest) <= LEVELS.index(LEVEL_OF[node.kind]) or deepest == self._query.level:
            return added(self._days(node, period), node.id)
        parts = [
            part
            for part in world.listed(node_of(node), _EDGES[deepest]).briefs()
            if chosen(part, deepest, self._query.filters) and self._passes_above(part)
        ]
        return added((row for part in parts for row in self._days(part, period)), node.id)

    def _days(self, node: Brief | Node, period: Period) -> list[Row]:
        return rows(self._scope.world, node, *self._counted(period))

    def _counted(self, period: Period) -> tuple[date, date]:
        """The days that were over when the report was asked for: a job shows no later ones."""
        return max(period.since, self._oldest), min(period.until, self._scope.today - timedelta(days=1))

    def _may_have_numbers(self, period: Period) -> bool:
        since, until = self._counted(period)
        return since <= until

    def _sum(self, period: Period) -> Row:
        """Of all objects with rows. Without rules it is what the target has, deleted objects included (O)."""
        if not any(rule.level for rule in self._query.filters):
            return self._numbers(self._scope.target, period)
        return added((self._numbers(node, period) for node in self._objects()), self._scope.target.id)

    def _split(self, numbers: Row) -> Iterator[tuple[Mapping[str, str], Row]]:
        """Parts that the rules about breakdowns let through; nothing for what was not delivered."""
        if not numbers.impressions:
            return
        names = self._query.breakdowns
        if not names:
            yield {}, numbers
            return
        rules = [rule for rule in self._query.filters if rule.level is None and rule.name in names]
        for values, part in split(numbers, *names):
            named = dict(zip(names, values, strict=True))
            if all(rule.passes(named[rule.name]) for rule in rules):
                yield named, part

    def _devices(self, numbers: Row) -> Mapping[tuple[str, ...], Mapping[str, Numbers]]:
        """Parts of the audience -> the same by device; nothing where no list of actions is parted by it."""
        if "action_device" not in self._query.action_breakdowns:
            return {}
        found: dict[tuple[str, ...], dict[str, Numbers]] = {}
        for values, part in split(numbers, *self._query.breakdowns, "impression_device"):
            found.setdefault(values[:-1], {})[values[-1]] = part
        return found

    def _context(
        self,
        node: Node,
        period: Period,
        values: Mapping[str, str],
        numbers: Row,
        devices: Mapping[str, Numbers],
    ) -> RowContext:
        level = LEVEL_OF[node.kind]
        objects = {above: self._above(node, above) for above in self._levels_above(node)}
        return RowContext(
            numbers=numbers,
            gives_reach=self._gives_reach,
            objects={**objects, level: node},
            level=level,
            date_start=period.since,
            date_stop=period.until,
            split=values,
            windows=self._query.windows,
            action_breakdowns=self._query.action_breakdowns,
            action_types=_action_types(self._query.filters),
            devices=devices,
        )

    def _shows(self, row: RowContext) -> bool:
        """Whether a row passes the rules about numbers."""
        rules = (rule for rule in self._query.filters if rule.level is None and rule.name in known("fields"))
        return all(rule.passes(value_of(row, rule.name)) for rule in rules)


def _action_types(filters: Sequence[Filter]) -> Callable[[str], bool]:
    rules = [rule for rule in filters if rule.name == "action_type"]
    return lambda kind: all(rule.passes(kind) for rule in rules)


def is_too_much(scope: Scope, query: AdsQuery, *, as_a_job: bool) -> bool:
    """Whether a report has to count more than one may."""
    deepest = _deepest_level(query)
    shown, counted = (_count(scope, level) for level in (query.level, deepest))
    first = _first_day(scope, deepest)
    days = sum(max(0, (period.until - max(period.since, first)).days + 1) for period in query.periods)
    parts = 1
    for name in query.breakdowns:
        parts *= _PARTS[name]
    if counted * days * parts > (MAX_POINTS_OF_A_JOB if as_a_job else MAX_POINTS):
        return True
    judges_numbers = any(rule.level is None for rule in query.filters)
    if query.sort is None and not judges_numbers and counted == shown:
        return False
    if query.sort is not None and shown * len(query.periods) * parts > MAX_ROWS_SHOWN:
        return True
    return counted * (days + _OBJECT_COSTS) > (MAX_ROWS_OF_A_JOB if as_a_job else MAX_ROWS_AT_ONCE)


def _count(scope: Scope, level: str) -> int:
    """How many objects of a level are below the target at most."""
    at_own_level = level == LEVEL_OF[scope.target.kind]
    return 1 if at_own_level else len(scope.world.listed(scope.target, _EDGES[level]))


def _first_day(scope: Scope, level: str) -> date:
    """No object of a level has numbers before this day. Lists show the newest first."""
    oldest = scope.target
    if level != LEVEL_OF[oldest.kind] and (below := scope.world.listed(oldest, _EDGES[level])):
        oldest = below[-1]
    return oldest.created_at.date() - timedelta(days=1)


def _deepest_level(query: AdsQuery) -> str:
    """The level whose objects have to be looked at: the report's own, or one that a rule is about."""
    return max((query.level, *(rule.level for rule in query.filters if rule.level)), key=LEVELS.index)


def too_much_data() -> GraphError:
    """100/1487534 (O, insights/best-practices); type `CodeException` O, status and text M."""
    text = "Please reduce the amount of data you're asking for, then retry your request"
    return GraphError(400, 100, f"(#100) {text}", type="CodeException", subcode=1487534)
