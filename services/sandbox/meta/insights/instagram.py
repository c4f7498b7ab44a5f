"""Insights of Instagram accounts, for both logins.

Metrics, breakdowns and limits O (instagram-platform/api-reference/instagram-user/insights and instagram-media/insights,
updated June 2026). That `follow_type` is the name of what that page calls `follower_type`, and the refusals' texts, are
T: clients recorded them. Insights are kept 90 days, media's two years (T quoting O, O).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from services.sandbox.meta.errors import bad_parameter, unknown_failure
from services.sandbox.meta.insights import demographics
from services.sandbox.meta.insights.days import Period
from services.sandbox.meta.insights.organic import (
    Days,
    Metric,
    answer,
    breakdowns_of,
    end_time,
    entry,
    names_of,
    nothing,
    plain,
    total,
    window,
    word,
)
from services.sandbox.meta.listing import NotCovered
from services.sandbox.meta.operations import GRAPH, Context, Operation
from services.sandbox.meta.series import POST_DAYS
from services.sandbox.meta.statistics import added, rows
from services.sandbox.meta.world import Node

HOSTS = (GRAPH, "graph.instagram.com")
SCOPES = ("instagram_manage_insights", "instagram_business_manage_insights")
MAX_DAYS = 30  # T
PERIODS = ("day", "week", "days_28", "month", "lifetime", "total_over_range")  # S
METRIC_TYPES = ("default", "time_series", "total_value")  # S
TIMEFRAMES = ("last_14_days", "last_30_days", "last_90_days", "prev_month", "this_month", "this_week")  # S
_TIMEFRAME_DAYS = {"last_14_days": 14, "last_30_days": 30, "last_90_days": 90, "this_week": 7, "this_month": 30}
INTERACTIONS = ("likes", "comments", "shares", "saves", "reposts")
_FOLLOW, _PRODUCT, _BUTTON = "follow_type", "media_product_type", "contact_button_type"
_BY_BOTH = (_FOLLOW, _PRODUCT)
_BREAKDOWNS = (*demographics.BREAKDOWNS, _FOLLOW, _PRODUCT, _BUTTON)


@dataclass(frozen=True, slots=True)
class _Demographic:
    """A metric whose value is only its parts. `counted`: numbers of a timeframe; none means followers."""

    metric: Metric
    counted: tuple[str, ...]


_ACCOUNT = (
    Metric("reach", "Accounts reached", plain("reach"), ("day", "week", "days_28"), True, _BY_BOTH),
    Metric("views", "Views", plain("impressions"), breakdowns=_BY_BOTH),
    Metric("accounts_engaged", "Accounts engaged", total(*INTERACTIONS)),
    Metric("total_interactions", "Content interactions", total(*INTERACTIONS), breakdowns=(_PRODUCT,)),
    Metric("likes", "Likes", plain("likes"), breakdowns=(_PRODUCT,)),
    Metric("comments", "Comments", plain("comments"), breakdowns=(_PRODUCT,)),
    Metric("shares", "Shares", plain("shares"), breakdowns=(_PRODUCT,)),
    Metric("saves", "Saves", plain("saves"), breakdowns=(_PRODUCT,)),
    Metric("replies", "Replies", nothing),
    Metric("reposts", "Reposts", plain("reposts"), breakdowns=(_PRODUCT,)),
    Metric("profile_views", "Profile views", plain("profile_visits")),
    Metric("website_clicks", "Website clicks", plain("link_clicks")),
    Metric("profile_links_taps", "Profile links taps", plain("link_clicks"), breakdowns=(_BUTTON,)),
    Metric("follows_and_unfollows", "Follows and unfollows", plain("follows"), breakdowns=(_FOLLOW,)),
    Metric("follower_count", "Follower Count", plain("follows")),
)
_DEMOGRAPHICS = (
    _Demographic(Metric("follower_demographics", "Follower demographics", nothing, ("lifetime",)), ()),
    _Demographic(
        Metric("engaged_audience_demographics", "Engaged audience demographics", nothing, ("lifetime",)), INTERACTIONS
    ),
    _Demographic(
        Metric("reached_audience_demographics", "Reached audience demographics", nothing, ("lifetime",)), ("reach",)
    ),
)
ACCOUNT_METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ACCOUNT}
DEMOGRAPHICS: Mapping[str, _Demographic] = {kind.metric.name: kind for kind in _DEMOGRAPHICS}
_TRAILING = {"week": 7, "days_28": 28}
_SERIES = frozenset({"reach", "follower_count"})
"""Metrics that have a value per day; the others only one for all days (O)."""


def account_insights(context: Context) -> object:
    names = _names(context)
    asked = _read(context)
    if any(name in DEMOGRAPHICS for name in names):
        return {"data": list(_people(context, names, asked))}
    only_totals = [name for name in names if name not in _SERIES]
    if only_totals and asked.kind == "time_series":
        return {"data": []}  # T
    if only_totals and asked.kind != "total_value":
        listed = ", ".join(only_totals)
        raise bad_parameter(
            f"The following metrics ({listed}) should be specified with parameter metric_type=total_value"
        )
    chosen = _window(context, names, asked)
    days = Days(context.world, context.named, Period(asked.begin(chosen.since), chosen.until))
    metrics = [ACCOUNT_METRICS[name] for name in names]
    entries = [
        entry(context.named, metric, asked.period, content)
        for metric in metrics
        if asked.period in metric.periods
        for content in _contents(context, metric, asked, days, chosen)
    ]
    return answer(context, entries, chosen)


@dataclass(frozen=True, slots=True)
class _Asked:
    """How the numbers are wanted."""

    period: str
    kind: str | None
    breakdowns: tuple[str, ...]

    def begin(self, day: date) -> date:
        """The first of the days that a value of this day counts."""
        return day - timedelta(days=_TRAILING.get(self.period, 1) - 1)


def _read(context: Context) -> _Asked:
    """Raises: GraphError 100; the period is required (O)."""
    params = context.params
    period = word(params, "period", PERIODS)
    if period is None:
        raise bad_parameter("The parameter period is required")
    return _Asked(period, word(params, "metric_type", METRIC_TYPES), breakdowns_of(params, _BREAKDOWNS))


def _window(context: Context, names: Sequence[str], asked: _Asked) -> Period:
    """The last day by default, the last two for series (T). Raises: GraphError 100 for too many or too old days."""
    now = context.around.clock.now()
    default_days = 1 if asked.kind == "total_value" else 2
    chosen = window(context.params, now, default_days, newest=now.date() - timedelta(days=1))
    if len(chosen) > MAX_DAYS + 1:
        seconds = MAX_DAYS * 86_400
        raise bad_parameter(f"There cannot be more than {MAX_DAYS} days ({seconds} s) between since and until")
    if "follower_count" in names and chosen.since < now.date() - timedelta(days=MAX_DAYS):
        raise bad_parameter(
            f"(follower_count) metric only supports querying data for the last {MAX_DAYS} days excluding the current "
            "day"
        )
    return chosen


def _contents(context: Context, metric: Metric, asked: _Asked, days: Days, chosen: Period) -> Iterator[dict[str, Any]]:
    """A total over all days, or a value a day; nothing where no day is over."""
    if asked.kind == "total_value":
        yield _total(context, metric, days, chosen, asked.breakdowns)
        return
    values = [
        {"value": metric.count(days.sum(Period(asked.begin(day), day)), context.named), "end_time": end_time(day)}
        for day in chosen.days()
        if days.has(day)
    ]
    if values:
        yield {"values": values}


def _people(context: Context, names: Sequence[str], asked: _Asked) -> Iterator[dict[str, Any]]:
    """Who they are; nothing for fewer than a hundred followers (O). Raises: GraphError 100 beside other metrics."""
    if any(name not in DEMOGRAPHICS for name in names):
        # Other metrics have no period of a lifetime (O).
        raise bad_parameter("Demographic metrics cannot be asked for together with others")
    if asked.kind != "total_value":
        listed = ", ".join(names)
        raise bad_parameter(
            f"The following metrics ({listed}) should be specified with parameter metric_type=total_value"
        )
    for name in names:
        found = _demographic(context, DEMOGRAPHICS[name], asked.breakdowns)
        if _has_followers(context.named):
            yield found


def _names(context: Context) -> list[str]:
    known = {*ACCOUNT_METRICS, *DEMOGRAPHICS, "online_followers"}
    names = names_of(context.params)
    for index, name in enumerate(names):
        if name == "impressions":
            raise bad_parameter(
                "Starting from version 22 and above, the impressions metric is no longer supported for the queried "
                "user. Please refer to the documentation at "
                "https://developers.facebook.com/docs/instagram-api/reference/ig-user/insights for a list of supported "
                "metrics."
            )
        if name not in known:
            raise bad_parameter(f"metric[{index}] must be one of the following values: {', '.join(sorted(known))}")
        if name == "online_followers":
            raise NotCovered("metric online_followers")
    return names


def _total(context: Context, metric: Metric, days: Days, chosen: Period, breakdowns: tuple[str, ...]) -> dict[str, Any]:
    if any(name not in metric.breakdowns for name in breakdowns):
        raise unknown_failure()
    value = metric.count(days.sum(chosen), context.named)
    if metric.name == "follows_and_unfollows" and not breakdowns:
        # T: without its breakdown the metric has no value at all.
        return {}
    content: dict[str, Any] = {"total_value": {"value": value}}
    if breakdowns:
        if len(breakdowns) > 1:
            raise NotCovered("more than one breakdown of Instagram's insights")
        parts = _parts(context, metric, value, breakdowns[0], chosen)
        content["total_value"]["breakdowns"] = demographics.breakdown(breakdowns, parts)
    return content


def _parts(context: Context, metric: Metric, value: int, name: str, chosen: Period) -> list[demographics.Part]:
    if name == _BUTTON:
        return [(("BIO_LINK_CLICKED",), value)]
    if metric.name == "follows_and_unfollows":
        # T: followers are those who came, the others those who went.
        return [(("FOLLOWER",), value)]
    if name == _FOLLOW:
        followers = value * 3 // 5  # made up
        return [(("FOLLOWER",), followers), (("NON_FOLLOWER",), value - followers)]
    names = {"FEED": "POST", "REELS": "REEL", "STORY": "STORY"}
    counts: dict[str, int] = {}
    for media in context.world.listed(context.named, "media"):
        if media.created_at.date() < chosen.since - timedelta(days=POST_DAYS):
            # The newest come first, and nobody sees the rest any more.
            break
        kind = names.get(str(media.values.get("media_product_type")), "POST")
        row = added(rows(context.world, media, chosen.since, chosen.until))
        counts[kind] = counts.get(kind, 0) + metric.count(row, media)
    return [((kind,), count) for kind, count in sorted(counts.items())]


def _demographic(context: Context, asked: _Demographic, breakdowns: tuple[str, ...]) -> dict[str, Any]:
    """Raises: GraphError 100 without a breakdown, or without the timeframe that a metric needs (O; texts M)."""
    if not breakdowns or any(name not in demographics.BREAKDOWNS for name in breakdowns):
        raise bad_parameter(f"breakdown must be one of the following values: {', '.join(demographics.BREAKDOWNS)}")
    timeframe = word(context.params, "timeframe", TIMEFRAMES)
    if asked.counted and timeframe is None:
        raise bad_parameter(f"The parameter timeframe is required for {asked.metric.name}")
    account = context.named
    if asked.counted:
        newest = context.around.clock.now().date() - timedelta(days=1)
        past = Period(newest - timedelta(days=_TIMEFRAME_DAYS.get(timeframe or "", 30) - 1), newest)
        parts = demographics.of_row(Days(context.world, account, past).sum(past), breakdowns, asked.counted)
    else:
        parts = demographics.of_followers(int(account.values.get("followers_count", 0)), breakdowns)
    content = {"total_value": {"breakdowns": demographics.breakdown(breakdowns, parts)}}
    return entry(account, asked.metric, "lifetime", content)


def _has_followers(account: Node) -> bool:
    return int(account.values.get("followers_count", 0)) >= demographics.LEAST_FOLLOWERS


OPERATIONS = (
    Operation("meta.instagram.insights", "GET", "{instagram}/insights", account_insights, HOSTS, scopes=SCOPES),
)
