"""Insights of Instagram accounts and media, for both logins.

Metrics, breakdowns and limits O (instagram-platform/api-reference/instagram-user/insights and instagram-media/insights,
updated June 2026). That `follow_type` is the name of what that page calls `follower_type`, and the refusals' texts, are
T: clients recorded them. Insights are kept 90 days, media's two years (T quoting O, O).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.sandbox.meta.errors import GraphError, bad_parameter, unknown_failure
from services.sandbox.meta.insights import demographics
from services.sandbox.meta.insights.days import Period
from services.sandbox.meta.insights.organic import (
    Days,
    Metric,
    answer,
    end_time,
    entry,
    names_of,
    plain,
    total,
    window,
)
from services.sandbox.meta.listing import NotCovered
from services.sandbox.meta.loose import read_names
from services.sandbox.meta.operations import GRAPH, Context, Operation
from services.sandbox.meta.statistics import Numbers, added, lifetime, rows
from services.sandbox.meta.world import Node

HOSTS = (GRAPH, "graph.instagram.com")
SCOPES = ("instagram_manage_insights", "instagram_business_manage_insights")
MAX_DAYS = 30  # T
LEAST_STORY_VIEWERS = 5  # O
STORY_LIFE = timedelta(hours=24)  # O
PERIODS = ("day", "week", "days_28", "month", "lifetime", "total_over_range")  # S
METRIC_TYPES = ("default", "time_series", "total_value")  # S
TIMEFRAMES = ("last_14_days", "last_30_days", "last_90_days", "prev_month", "this_month", "this_week")  # S
_TIMEFRAME_DAYS = {"last_14_days": 14, "last_30_days": 30, "last_90_days": 90, "this_week": 7, "this_month": 30}
MAX_MEDIA = 2_000
"""Ours: media that a breakdown by kind of media looks at."""
_INTERACTIONS = ("likes", "comments", "shares", "saves", "reposts")
_FOLLOW, _PRODUCT, _BUTTON = "follow_type", "media_product_type", "contact_button_type"
_BY_BOTH = (_FOLLOW, _PRODUCT)


@dataclass(frozen=True, slots=True)
class _Demographic:
    """A metric whose value is only its parts. `counted`: numbers of a timeframe; none means followers."""

    metric: Metric
    counted: tuple[str, ...]


def _none(numbers: Numbers, node: Node) -> int:
    return 0


_ACCOUNT = (
    Metric("reach", "Accounts reached", plain("reach"), ("day", "week", "days_28"), True, _BY_BOTH),
    Metric("views", "Views", plain("impressions"), breakdowns=_BY_BOTH),
    Metric("accounts_engaged", "Accounts engaged", total(*_INTERACTIONS)),
    Metric("total_interactions", "Content interactions", total(*_INTERACTIONS), breakdowns=(_PRODUCT,)),
    Metric("likes", "Likes", plain("likes"), breakdowns=(_PRODUCT,)),
    Metric("comments", "Comments", plain("comments"), breakdowns=(_PRODUCT,)),
    Metric("shares", "Shares", plain("shares"), breakdowns=(_PRODUCT,)),
    Metric("saves", "Saves", plain("saves"), breakdowns=(_PRODUCT,)),
    Metric("replies", "Replies", _none),
    Metric("reposts", "Reposts", plain("reposts"), breakdowns=(_PRODUCT,)),
    Metric("profile_views", "Profile views", plain("profile_visits")),
    Metric("website_clicks", "Website clicks", plain("link_clicks")),
    Metric("profile_links_taps", "Profile links taps", plain("link_clicks"), breakdowns=(_BUTTON,)),
    Metric("follows_and_unfollows", "Follows and unfollows", plain("follows"), breakdowns=(_FOLLOW,)),
    Metric("follower_count", "Follower Count", plain("follows")),
)
_DEMOGRAPHICS = (
    _Demographic(Metric("follower_demographics", "Follower demographics", _none, ("lifetime",)), ()),
    _Demographic(
        Metric("engaged_audience_demographics", "Engaged audience demographics", _none, ("lifetime",)), _INTERACTIONS
    ),
    _Demographic(
        Metric("reached_audience_demographics", "Reached audience demographics", _none, ("lifetime",)), ("reach",)
    ),
)
ACCOUNT_METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ACCOUNT}
DEMOGRAPHICS: Mapping[str, _Demographic] = {kind.metric.name: kind for kind in _DEMOGRAPHICS}
_SERIES = frozenset({"reach", "follower_count"})
"""Metrics that have a value per day; the others only one for all days (O)."""
WATCHED_MS, SKIPPED_PERCENT = 7_300, 38.5
"""Made up: how long everybody watches a reel, and how many in a hundred go on within seconds."""
_MEDIA = (
    Metric("views", "Views", plain("impressions")),
    Metric("reach", "Accounts reached", plain("reach")),
    Metric("likes", "Likes", plain("likes")),
    Metric("comments", "Comments", plain("comments")),
    Metric("saved", "Saved", plain("saves")),
    Metric("shares", "Shares", plain("shares")),
    Metric("reposts", "Reposts", plain("reposts")),
    Metric("total_interactions", "Post interactions", total(*_INTERACTIONS)),
    Metric("follows", "Follows", plain("follows")),
    Metric("profile_visits", "Profile visits", plain("profile_visits")),
    Metric("profile_activity", "Profile activity", plain("link_clicks"), breakdowns=("action_type",)),
    Metric("replies", "Replies", plain("comments")),
    Metric("link_clicks", "Link clicks", plain("link_clicks")),
    Metric("navigation", "Navigation", plain("clicks"), breakdowns=("story_navigation_action_type",)),
    Metric("total_views", "Total views", plain("impressions")),
    Metric("total_likes", "Total likes", plain("likes")),
    Metric("total_comments", "Total comments", plain("comments")),
    Metric("ig_reels_avg_watch_time", "Average watch time", lambda numbers, node: WATCHED_MS if numbers.views else 0),
    Metric("ig_reels_video_view_total_time", "Watch time", lambda numbers, node: numbers.views * WATCHED_MS),
    Metric("reels_skip_rate", "Skip rate", lambda numbers, node: SKIPPED_PERCENT),
    Metric("crossposted_views", "Crossposted views", plain("impressions")),
    Metric("facebook_views", "Facebook views", _none),
)
MEDIA_METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _MEDIA}
_TOTALS = ("total_views", "total_likes", "total_comments")
_COMMON = ("views", "reach", "shares", "total_interactions")
_OF_PRODUCT: Mapping[str, frozenset[str]] = {
    "FEED": frozenset((*_COMMON, "likes", "comments", "saved", "reposts", "follows", "profile_visits",
                       "profile_activity", *_TOTALS)),
    "REELS": frozenset((*_COMMON, "likes", "comments", "saved", "reposts", "ig_reels_avg_watch_time",
                        "ig_reels_video_view_total_time", "reels_skip_rate", "crossposted_views", "facebook_views",
                        *_TOTALS)),
    "STORY": frozenset((*_COMMON, "replies", "navigation", "follows", "link_clicks", "profile_visits",
                        "profile_activity", "reposts")),
}  # fmt: skip
_OF_THREADS = frozenset(
    ["thread_replies", "thread_shares", "quotes", "threads_media_clicks", "threads_reposts", "threads_views"]
)
"""In the SDK's list of metrics (S); no kind of media has them."""
_BREAKDOWN_PARTS = {"action_type": "BIO_LINK_CLICKED", "story_navigation_action_type": "TAP_FORWARD"}


def account_insights(context: Context) -> object:
    account, params = context.named, context.params
    names = _account_names(context)
    period, kind = _word(params, "period", PERIODS), _word(params, "metric_type", METRIC_TYPES)
    if period is None:
        raise bad_parameter("The parameter period is required")
    people = [DEMOGRAPHICS[name] for name in names if name in DEMOGRAPHICS]
    if people and len(people) < len(names):
        # Other metrics have no period of a lifetime (O).
        raise bad_parameter("Demographic metrics cannot be asked for together with others")
    breakdowns = _breakdowns(params)
    wants_totals = kind == "total_value"
    if not wants_totals and (only := [name for name in names if name not in _SERIES]):
        if kind == "time_series":
            return {"data": []}
        listed = ", ".join(only)
        raise bad_parameter(
            f"The following metrics ({listed}) should be specified with parameter metric_type=total_value"
        )
    if people:
        return {"data": [_demographic(context, each, breakdowns) for each in people if _has_followers(account)]}
    now = context.around.clock.now()
    chosen = window(params, now, 1 if wants_totals else 2, newest=now.date() - timedelta(days=1))
    if len(chosen) > MAX_DAYS + 1:
        raise bad_parameter(
            f"There cannot be more than {MAX_DAYS} days ({MAX_DAYS * 86_400} s) between since and until"
        )
    trailing = {"week": 7, "days_28": 28}.get(period, 1)
    days = Days(context.world, account, Period(chosen.since - timedelta(days=trailing - 1), chosen.until))
    entries = []
    for metric in (ACCOUNT_METRICS[name] for name in names):
        if period not in metric.periods:
            continue
        if wants_totals:
            entries.append(entry(account, metric, period, _total(context, metric, days, chosen, breakdowns)))
            continue
        values = [
            {"value": metric.count(days.sum(Period(day - timedelta(days=trailing - 1), day)), account),
             "end_time": end_time(day)}
            for day in chosen.days() if days.has(day)
        ]  # fmt: skip
        if values:
            entries.append(entry(account, metric, period, {"values": values}))
    return answer(context, entries, chosen)


def media_insights(context: Context) -> object:
    """Numbers over the whole life; nothing for media without any yet (O: "an empty data set instead of 0")."""
    media = context.named
    product = str(media.values.get("media_product_type", "FEED"))
    names = names_of(context.params)
    metrics = [_media_metric(name, index, product, context.request.host) for index, name in enumerate(names)]
    breakdowns = _breakdowns(context.params)
    for metric in metrics:
        if any(name not in metric.breakdowns for name in breakdowns):
            # O: "an unknown error" for a breakdown of a metric that has none.
            raise unknown_failure()
    numbers = added(lifetime(context.world, media))
    if product == "STORY":
        if context.around.clock.now() - media.created_at >= STORY_LIFE:
            return {"data": []}
        if 0 < numbers.reach < LEAST_STORY_VIEWERS:
            # Code O, text T.
            raise GraphError(400, 10, "(#10) Not enough viewers for the media to show insights")
    if not numbers.impressions:
        return {"data": []}
    wants_totals = bool(breakdowns) or context.params.get("metric_type") == "total_value"
    entries = []
    for metric in metrics:
        value = metric.count(numbers, media)
        content: dict[str, Any] = {"values": [{"value": value}]}
        if wants_totals:
            content = {"total_value": {"value": value}}
            if breakdowns:
                parts = [(tuple(_BREAKDOWN_PARTS[name] for name in breakdowns), value)]
                content["total_value"]["breakdowns"] = demographics.breakdown(breakdowns, parts)
        entries.append(entry(media, metric, "lifetime", content))
    return {"data": entries}


def _account_names(context: Context) -> list[str]:
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


def _media_metric(name: str, index: int, product: str, host: str) -> Metric:
    """Raises: GraphError 100 for a name that is none, and for one that this kind of media does not have."""
    known = {*MEDIA_METRICS, *_OF_THREADS}
    if name not in known and name != "impressions":
        raise bad_parameter(f"metric[{index}] must be one of the following values: {', '.join(sorted(known))}")
    covered = name in _OF_PRODUCT.get(product, frozenset()) and (host == GRAPH or name not in _TOTALS)
    if covered:
        return MEDIA_METRICS[name]
    raise bad_parameter(f"The Media Insights API does not support the {name} metric for this media product type.")


def _word(params: Mapping[str, str], name: str, allowed: Sequence[str]) -> str | None:
    word = params.get(name, "").strip('"[]')
    if word and word not in allowed:
        raise bad_parameter(f"{name} must be one of the following values: {', '.join(allowed)}")
    return word or None


def _breakdowns(params: Mapping[str, str]) -> tuple[str, ...]:
    allowed = (*demographics.BREAKDOWNS, _FOLLOW, _PRODUCT, _BUTTON, *_BREAKDOWN_PARTS)
    try:
        names = tuple(dict.fromkeys(read_names(params.get("breakdown", ""))))
    except ValueError as error:
        raise bad_parameter("Param breakdown must be an array.") from error
    for index, name in enumerate(names):
        if name not in allowed:
            raise bad_parameter(f"breakdown[{index}] must be one of the following values: {', '.join(allowed)}")
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
    listed = context.world.listed(context.named, "media")
    if len(listed) > MAX_MEDIA:
        raise NotCovered(f"breakdown {name} of accounts with over {MAX_MEDIA} media")
    names = {"FEED": "POST", "REELS": "REEL", "STORY": "STORY"}
    counts: dict[str, int] = {}
    for media in listed:
        kind = names.get(str(media.values.get("media_product_type")), "POST")
        row = added(rows(context.world, media, chosen.since, chosen.until))
        counts[kind] = counts.get(kind, 0) + metric.count(row, media)
    return [((kind,), count) for kind, count in sorted(counts.items())]


def _demographic(context: Context, asked: _Demographic, breakdowns: tuple[str, ...]) -> dict[str, Any]:
    """Raises: GraphError 100 without a breakdown, or without the timeframe that a metric needs (O; texts M)."""
    if not breakdowns or any(name not in demographics.BREAKDOWNS for name in breakdowns):
        raise bad_parameter(f"breakdown must be one of the following values: {', '.join(demographics.BREAKDOWNS)}")
    timeframe = _word(context.params, "timeframe", TIMEFRAMES)
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
    Operation("meta.media.insights", "GET", "{media}/insights", media_insights, HOSTS, scopes=SCOPES),
)
