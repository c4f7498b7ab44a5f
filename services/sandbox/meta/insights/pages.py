"""Insights of pages and their posts.

Metrics, periods and limits O (docs/graph-api/reference/insights, as of the removals of November 2025 and June 2026;
pages-api/platforminsights/page), names T where the reference had them and clients still read them. Page tokens only
(O); the refusal of others T. Names that Meta removed are refused as names that it never had (O).
"""

from collections.abc import Mapping
from datetime import date, timedelta

from services.sandbox.meta.errors import GraphError, bad_parameter
from services.sandbox.meta.insights.days import PRESETS, Period, preset_period
from services.sandbox.meta.insights.organic import (
    Days,
    Metric,
    answer,
    end_time,
    entry,
    names_of,
    not_a_metric,
    nothing,
    plain,
    total,
    window,
)
from services.sandbox.meta.listing import NotCovered
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.statistics import Numbers, added, lifetime
from services.sandbox.meta.world import Node

SCOPES = ("read_insights",)
LEAST_FANS = 100  # O: "only available on Pages with 100 or more likes"
MAX_DAYS = 90  # O
PERIODS = ("day", "week", "days_28", "month", "lifetime", "total_over_range")  # S
_TRAILING = {"day": 1, "week": 7, "days_28": 28}
_ROLLING = ("day", "week", "days_28")


def _reactions(numbers: Numbers, node: Node) -> dict[str, int]:
    """All reactions of the world are likes."""
    return {"like": numbers.likes} if numbers.likes else {}


def _activity(numbers: Numbers, node: Node) -> dict[str, int]:
    counts = {"like": numbers.likes, "comment": numbers.comments, "share": numbers.shares}
    return {kind: count for kind, count in counts.items() if count}


def _likes_by_origin(numbers: Numbers, node: Node) -> dict[str, int]:
    """No ad of the world is for likes."""
    return {"total": numbers.follows, "paid": 0, "unpaid": numbers.follows}


def _clicks_by_type(numbers: Numbers, node: Node) -> dict[str, int]:
    counts = {"link clicks": numbers.link_clicks, "other clicks": numbers.clicks - numbers.link_clicks}
    return {kind: count for kind, count in counts.items() if count}


_ENGAGEMENT = ("likes", "comments", "shares", "clicks")
_PAGE = (
    Metric("page_media_view", "Daily Total Views", plain("impressions"), _ROLLING),
    Metric("page_total_media_view_unique", "Daily Total Viewers", plain("reach"), _ROLLING, unique=True),
    Metric("page_post_engagements", "Daily Post Engagements", total(*_ENGAGEMENT), _ROLLING),
    Metric("page_total_actions", "Daily Total Actions on Page", plain("link_clicks"), _ROLLING),
    Metric("page_views_total", "Daily Total Page Views", plain("profile_visits"), _ROLLING),
    Metric("page_daily_follows", "Daily Follows", plain("follows"), _ROLLING),
    Metric("page_daily_follows_unique", "Daily New Follows", plain("follows"), _ROLLING, unique=True),
    Metric("page_daily_unfollows_unique", "Daily Unfollows", nothing, _ROLLING, unique=True),
    # Gone with the other `page_fan_adds` by the list of November 2025 (O); asked for, and answered, in autumn 2026 (T,
    # airbyte's source-facebook-pages 3.0.0).
    Metric("page_fan_adds_by_paid_non_paid_unique", "Daily New Likes by Origin", _likes_by_origin, ("day",)),
    Metric("page_follows", "Lifetime Total Follows", lambda numbers, node: node.values.get("followers_count", 0)),
    Metric("page_actions_post_reactions_like_total", "Daily Total Likes", plain("likes"), _ROLLING),
    *(
        Metric(f"page_actions_post_reactions_{kind}_total", f"Daily Total: {kind}", nothing, _ROLLING)
        for kind in ("love", "wow", "haha", "sorry", "anger")
    ),
    Metric("page_actions_post_reactions_total", "Daily Total Reactions", _reactions, ("day",)),
)
_POST = (
    Metric("post_media_view", "Lifetime Post Views", plain("impressions"), ("lifetime",)),
    Metric("post_total_media_view_unique", "Lifetime Post Viewers", plain("reach"), ("lifetime",), unique=True),
    Metric("post_clicks", "Lifetime Post Clicks", plain("clicks"), ("lifetime",)),
    Metric("post_clicks_by_type", "Lifetime Post Clicks by Type", _clicks_by_type, ("lifetime",)),
    Metric("post_reactions_like_total", "Lifetime Total Likes", plain("likes"), ("lifetime",)),
    *(
        Metric(f"post_reactions_{kind}_total", f"Lifetime Total: {kind}", nothing, ("lifetime",))
        for kind in ("love", "wow", "haha", "sorry", "anger")
    ),
    Metric("post_reactions_by_type_total", "Lifetime Total Reactions by Type", _reactions, ("lifetime",)),
    Metric("post_activity_by_action_type", "Lifetime Post Stories by Action Type", _activity, ("lifetime",)),
)
_UNCOUNTED = frozenset(
    [
        "page_video_views", "page_video_views_by_uploaded_hosted", "page_video_views_by_paid_non_paid",
        "page_video_views_unique", "page_video_view_time", "page_video_complete_views_30s",
        "page_messages_new_conversations_unique", "content_monetization_earnings", "monetization_approximate_earnings",
        "post_video_views", "post_video_views_unique", "post_video_views_organic", "post_video_views_paid",
        "post_video_avg_time_watched", "post_video_view_time", "post_video_retention_graph",
        "post_video_social_actions", "post_video_likes_by_reaction_type", "blue_reels_play_count",
        "fb_reels_total_plays", "fb_reels_replay_count"
    ]
)  # fmt: skip
"""Meta has them (T, some O); the world has no plays, messages or earnings."""
PAGE_METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _PAGE}
POST_METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _POST}


def page_insights(context: Context) -> object:
    need_page_token(context)
    metrics = _metrics(context, PAGE_METRICS)
    periods = _periods(context)
    page = context.named
    if int(page.values.get("fan_count", LEAST_FANS)) < LEAST_FANS:
        return {"data": []}
    chosen = _window(context)
    # Weeks and 28 days end on each day of the stretch, and count what came before it.
    days = Days(context.world, page, Period(chosen.since - timedelta(days=27), chosen.until))
    shown = [day for day in chosen.days() if days.has(day)]
    entries = []
    for metric in metrics:
        for period in metric.periods:
            if period not in periods:
                continue
            values = [
                {"value": metric.count(days.sum(_trailing(day, period)), page), "end_time": end_time(day)}
                for day in shown
            ]
            if values:
                entries.append(entry(page, metric, period, {"values": values}))
        if "total_over_range" in periods and not metric.unique:
            values = [{"value": metric.count(days.sum(chosen), page)}]
            entries.append(entry(page, metric, "total_over_range", {"values": values}))
    return answer(context, entries, chosen)


def post_insights(context: Context) -> object:
    """Numbers over the whole life; a post that nobody has seen yet has none (M)."""
    need_page_token(context)
    metrics = _metrics(context, POST_METRICS)
    periods = _periods(context)
    post = context.named
    numbers = added(lifetime(context.world, post))
    entries = [
        entry(post, metric, "lifetime", {"values": [{"value": metric.count(numbers, post)}]})
        for metric in metrics
        if "lifetime" in periods
    ]
    return answer(context, entries, None)


def _trailing(day: date, period: str) -> Period:
    """What a value of a period counts: the days up to and with this one."""
    return Period(day - timedelta(days=_TRAILING[period] - 1), day)


def _metrics(context: Context, known: Mapping[str, Metric]) -> list[Metric]:
    """Raises: GraphError 3001 without a metric, 100 if one of them is none of this object."""
    _, _, in_path = context.edge.partition("/")
    names = [in_path] if in_path else names_of(context.params)
    if any(name not in known and name not in _UNCOUNTED for name in names):
        raise not_a_metric()
    for name in names:
        if name in _UNCOUNTED:
            raise NotCovered(f"metric {name}")
    return [known[name] for name in names]


def _periods(context: Context) -> tuple[str, ...]:
    """All that a metric has where none is asked for (T)."""
    asked = context.params.get("period", "").strip('"')
    if not asked:
        return tuple(period for period in PERIODS if period != "total_over_range")
    if asked not in PERIODS:
        raise bad_parameter(f"period must be one of the following values: {', '.join(PERIODS)}")
    return (asked,)


def _window(context: Context) -> Period:
    """The last two days by default (T); at most 90 (O; text M)."""
    now = context.around.clock.now()
    yesterday = now.date() - timedelta(days=1)
    preset = context.params.get("date_preset", "").strip('"')
    if preset and "since" not in context.params and "until" not in context.params:
        if preset not in PRESETS:
            raise bad_parameter(f"date_preset must be one of the following values: {', '.join(PRESETS)}")
        return preset_period(preset, now.date(), now.date() - timedelta(days=MAX_DAYS - 1))
    chosen = window(context.params, now, 2, newest=yesterday)
    if len(chosen) > MAX_DAYS:
        raise bad_parameter(f"There cannot be more than {MAX_DAYS} days between since and until")
    return chosen


def need_page_token(context: Context) -> None:
    """Raises: GraphError 190 for any other token (code and text T)."""
    if context.token.kind != "page":
        raise GraphError(400, 190, "(#190) This method must be called with a Page Access Token")


OPERATIONS = (
    Operation("meta.page.insights", "GET", "{page}/insights", page_insights, scopes=SCOPES),
    Operation("meta.post.insights", "GET", "{post}/insights", post_insights, scopes=SCOPES),
    Operation("meta.page.insights", "GET", "{page}/insights/{word}", page_insights, scopes=SCOPES),
    Operation("meta.post.insights", "GET", "{post}/insights/{word}", post_insights, scopes=SCOPES),
)
