"""Insights of Instagram media, for both logins: numbers over the whole life.

Metrics per kind of media and what they need O (instagram-platform/reference/instagram-media/insights, updated June
2026); that one that a kind has not fails the whole call, and the words of the refusal, T. Kept two years (O).
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from services.sandbox.meta.errors import GraphError, bad_parameter, unknown_failure
from services.sandbox.meta.insights import demographics
from services.sandbox.meta.insights.instagram import HOSTS, INTERACTIONS, SCOPES
from services.sandbox.meta.insights.organic import Metric, breakdowns_of, entry, names_of, nothing, plain, total
from services.sandbox.meta.operations import GRAPH, Context, Operation
from services.sandbox.meta.statistics import added, lifetime

LEAST_STORY_VIEWERS = 5  # O
STORY_LIFE = timedelta(hours=24)  # O
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
    Metric("total_interactions", "Post interactions", total(*INTERACTIONS)),
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
    Metric("facebook_views", "Facebook views", nothing),
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


def media_insights(context: Context) -> object:
    """Numbers over the whole life; nothing for media without any yet (O: "an empty data set instead of 0")."""
    media = context.named
    product = str(media.values.get("media_product_type", "FEED"))
    names = names_of(context.params)
    metrics = [_media_metric(name, index, product, context.request.host) for index, name in enumerate(names)]
    breakdowns = breakdowns_of(context.params, tuple(_BREAKDOWN_PARTS))
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


def _media_metric(name: str, index: int, product: str, host: str) -> Metric:
    """Raises: GraphError 100 for a name that is none, and for one that this kind of media does not have."""
    known = {*MEDIA_METRICS, *_OF_THREADS}
    if name not in known and name != "impressions":
        raise bad_parameter(f"metric[{index}] must be one of the following values: {', '.join(sorted(known))}")
    covered = name in _OF_PRODUCT.get(product, frozenset()) and (host == GRAPH or name not in _TOTALS)
    if covered:
        return MEDIA_METRICS[name]
    raise bad_parameter(f"The Media Insights API does not support the {name} metric for this media product type.")


OPERATIONS = (Operation("meta.media.insights", "GET", "{media}/insights", media_insights, HOSTS, scopes=SCOPES),)
