"""Ads insights of accounts, campaigns, ad sets and ads: read at once, or ordered as a job and read later.

Cursors name the place of a row (O samples: `MAZDZD` is the first); a wrong one is 2642 (O, reference/adgroup/insights).
The default of 25 rows a page is M.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from services.sandbox.exchange import JOB_SECONDS
from services.sandbox.meta.errors import GraphError, bad_parameter, missing_object
from services.sandbox.meta.insights.ads_query import AdsQuery, narrowed, read_query
from services.sandbox.meta.insights.ads_report import (
    LEVEL_OF,
    OLD_REACH_MONTHS,
    Report,
    Scope,
    is_too_much,
    too_much_data,
)
from services.sandbox.meta.insights.days import months_before, today_in
from services.sandbox.meta.insights.desk import desk_of
from services.sandbox.meta.insights.runs import FAILED, LIFE, SKIPPED, TOO_LARGE, Failure, Run, not_loaded
from services.sandbox.meta.listing import NotCovered
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.world import Node

DEFAULT_LIMIT = 25
_UNCOVERED = ("export_columns", "export_format", "export_name", "cpas_only", "product_id_limit")
BUCKET = "ads_insights"
OLD_REACH_REPORTS_A_DAY = 10
"""O: asynchronous reports of an account with reach of more than 13 months ago."""
_PADDING = "ZD"
"""How cursors write the `=` of their base64 (O samples)."""


def read_insights(context: Context) -> object:
    """Rows at once. Raises: GraphError 100 for what cannot be asked, 100/1487534 for too much."""
    scope = _scope(context, context.named)
    query = _query(context, scope)
    if is_too_much(scope, query, as_a_job=False):
        raise too_much_data()
    # What a call sees that lags behind the writes is no report for those who see them.
    is_stale = context.reader.as_of is not None
    report = Report(scope, query) if is_stale else desk_of(context.world).report(scope, query)
    return _page(context, report, context.named)


def order_insights(context: Context) -> object:
    """A job. What cannot be asked is refused at once (T); what is too large fails later (O, -3/1504045)."""
    target = context.named
    scope = _scope(context, target)
    query = _query(context, scope)
    now = context.around.clock.now()
    account = context.world.nodes[target.account]
    run_id = context.world.new_id("ad")
    node = Node(run_id, "report_run", account.id, {"id": run_id}, now, now, (target.kind, target.id))
    runs = desk_of(context.world).runs
    is_old = bool(query.breakdowns) and query.since < months_before(scope.today, OLD_REACH_MONTHS)
    old_before = runs.count_old_reach(account.id, now)
    run = Run(
        node=node,
        target=target,
        query=query,
        ordered_at=now,
        today=scope.today,
        seconds=JOB_SECONDS,
        failure=TOO_LARGE if is_too_much(scope, query, as_a_job=True) else _asked_failure(context),
        keeps_old_reach=is_old and old_before < OLD_REACH_REPORTS_A_DAY,
    )
    if is_old:
        used = min(100, (old_before + 1) * 100 // OLD_REACH_REPORTS_A_DAY)
        # Name O; its content is not documented, and is read like that of the other throttle of insights by clients (T).
        context.headers.append(("x-Fb-Ads-Insights-Reach-Throttle", json.dumps({"acc_id_util_pct": used})))
    context.world.nodes.hold(node)
    runs.add(run, context.world)
    return {"report_run_id": run_id}


def _asked_failure(context: Context) -> Failure | None:
    """How a fault lets the report end."""
    wanted = context.fault.args.get("job") if context.fault else None
    return {"failed": FAILED, "skipped": SKIPPED}.get(str(wanted))


def read_run(context: Context) -> object:
    """How far a job is."""
    run = _run(context)
    run.node.values.update(run.shown(context.around.clock.now()))
    return context.reader.object(run.node, context.params)


def read_run_insights(context: Context) -> object:
    """The rows of a job that is done. Raises: GraphError 2601/1815107 before."""
    run = _run(context)
    if not run.is_complete(context.around.clock.now()):
        raise not_loaded()
    scope = Scope(context.world, run.target, run.today)
    query = narrowed(run.query, context.params)
    report = desk_of(context.world).report(scope, query, keeps_old_reach=run.keeps_old_reach)
    return _page(context, report, run.node)


def _run(context: Context) -> Run:
    """Raises: GraphError 100/33 for a job that is older than thirty days (O: it "expires after 30 days"; code M)."""
    run = desk_of(context.world).runs.find(context.named)
    if run is None or context.around.clock.now() - run.ordered_at >= LIFE:
        raise missing_object(context.named.id)
    return run


def _scope(context: Context, target: Node) -> Scope:
    account = context.world.nodes[target.account]
    today = today_in(str(account.values.get("timezone_name")), context.around.clock.now())
    return Scope(context.world, target, today)


def _query(context: Context, scope: Scope) -> AdsQuery:
    for name in _UNCOVERED:
        if name in context.params:
            raise NotCovered(f"parameter {name} of ads insights")
    zone = str(context.world.nodes[scope.target.account].values.get("timezone_name"))
    earliest = today_in(zone, scope.target.created_at)
    return read_query(context.params, LEVEL_OF[scope.target.kind], scope.today, earliest)


def _page(context: Context, report: Report, node: Node) -> dict[str, Any]:
    params = context.params
    limit = _limit(params)
    start, count = _place_of(params, limit)
    data, has_more = report.page(start, count)
    content: dict[str, Any] = {"data": data}
    if data:
        content["paging"] = _paging(context, node, start, len(data), limit, has_more=has_more)
    summary = report.summary()
    if summary is not None:
        content["summary"] = summary
    return content


def _paging(context: Context, node: Node, start: int, count: int, limit: int, *, has_more: bool) -> dict[str, Any]:
    before, after = _cursor(start), _cursor(start + count - 1)
    paging: dict[str, Any] = {"cursors": {"before": before, "after": after}}
    gone = {"after", "before", "limit", "access_token"}
    kept = {name: value for name, value in context.params.items() if name not in gone}
    # The link carries the token, as Meta's do (M): whoever logs it logs a secret.
    base = {"access_token": context.token.secret, **kept, "limit": str(limit)}
    url = f"{context.root}/{node.id}/insights"
    if has_more:
        paging["next"] = f"{url}?{urlencode({**base, 'after': after})}"
    if start > 0:
        paging["previous"] = f"{url}?{urlencode({**base, 'before': before})}"
    return paging


def _limit(params: Mapping[str, str]) -> int:
    text = params.get("limit", str(DEFAULT_LIMIT)).strip('"')
    if not text.isascii() or not text.isdigit() or int(text[:10]) < 1:
        raise bad_parameter("Param limit must be a positive integer")
    return int(text[:10])


def _place_of(params: Mapping[str, str], limit: int) -> tuple[int, int]:
    """Where a page begins, and how many rows it may have: before the first row there are none."""
    if params.get("after"):
        return _place(params["after"]) + 1, limit
    if params.get("before"):
        end = _place(params["before"])
        return max(0, end - limit), min(limit, end)
    return 0, limit


def _cursor(place: int) -> str:
    return base64.b64encode(str(place).encode()).decode().replace("=", _PADDING)


def _place(cursor: str) -> int:
    """Raises: GraphError 2642 (O; status and text M)."""
    plain = cursor.rstrip("=")
    while plain.endswith(_PADDING):
        plain = plain.removesuffix(_PADDING)
    try:
        text = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    if not text.isdigit() or len(text) > 9:
        raise GraphError(400, 2642, "(#2642) Invalid cursors values")
    return int(text)


OPERATIONS = (
    *(
        Operation(
            f"meta.{kind}.insights",
            method,
            f"{{{kind}}}/insights",
            run,
            bucket=BUCKET,
            marketing=True,
            inherits=("date_preset", "time_range"),
        )
        for kind in LEVEL_OF
        for method, run in (("GET", read_insights), ("POST", order_insights))
    ),
    Operation("meta.report_run", "GET", "{report_run}", read_run, bucket=BUCKET, marketing=True),
    Operation(
        "meta.report_run.insights", "GET", "{report_run}/insights", read_run_insights, bucket=BUCKET, marketing=True
    ),
)
