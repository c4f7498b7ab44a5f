"""What reports a world has at hand: those that somebody is reading page by page, and those that were ordered."""

from collections import OrderedDict

from services.sandbox.meta.insights.ads_query import AdsQuery
from services.sandbox.meta.insights.ads_report import Report, Scope
from services.sandbox.meta.insights.runs import Runs
from services.sandbox.meta.world import Node, World

MAX_OPEN = 16
"""Reports whose rows are kept for the next page."""


class Desk:
    """Reports of one world."""

    def __init__(self, world: World) -> None:
        self.runs = Runs()
        self._open: OrderedDict[tuple[object, ...], Report] = OrderedDict()
        world.on_write(self._forget)

    def report(self, scope: Scope, query: AdsQuery, *, keeps_old_reach: bool = False) -> Report:
        """The report as far as it was read before, unless its account was written to since."""
        key = (scope.target.id, scope.today, query, keeps_old_reach)
        found = self._open.pop(key, None) or Report(scope, query, keeps_old_reach=keeps_old_reach)
        self._open[key] = found
        if len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)
        return found

    def _forget(self, write: str, node: Node) -> None:
        """A report tells of one account alone: who writes to others does not make it be counted anew."""
        for key in [key for key, report in self._open.items() if report.account == node.account]:
            del self._open[key]


def desk_of(world: World) -> Desk:
    """The one desk of a world; a reset makes another of both."""
    found: Desk | None = world.kept.get(__name__)
    if found is None:
        found = world.kept[__name__] = Desk(world)
    return found
