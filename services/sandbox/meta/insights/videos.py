"""Insights of a page's videos and reels: numbers over the whole life, which are those of the post that shows it.

Edge and shape O (docs/graph-api/reference/video/video_insights); which names still answer after the removals of 2026
is T. Without a metric all of them are given (T).
"""

from collections.abc import Mapping
from typing import Any

from services.sandbox.meta.insights.organic import Metric, entry, names_of, not_a_metric, nothing, plain
from services.sandbox.meta.insights.pages import SCOPES, need_page_token
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.statistics import Numbers, added, lifetime
from services.sandbox.meta.world import Node

WATCHED_MS = 6_400
"""Made up: how long everybody watches."""


def _reactions(numbers: Numbers, node: Node) -> dict[str, int]:
    """All reactions of the world are likes."""
    return {"REACTION_LIKE": numbers.likes} if numbers.likes else {}


def _social(numbers: Numbers, node: Node) -> dict[str, int]:
    counts = {"COMMENT": numbers.comments, "SHARE": numbers.shares}
    return {kind: count for kind, count in counts.items() if count}


def _average(numbers: Numbers, node: Node) -> int:
    return WATCHED_MS if numbers.views else 0


def _watched(numbers: Numbers, node: Node) -> int:
    return numbers.views * WATCHED_MS


_VIDEO = (
    Metric("total_video_views", "Lifetime Total Video Views", plain("views")),
    Metric("total_video_views_unique", "Lifetime Unique Video Views", plain("reach")),
    Metric("total_video_avg_time_watched", "Lifetime Average Time Video Viewed", _average),
    Metric("total_video_view_total_time", "Lifetime Total Video View Time", _watched),
    Metric("post_video_views", "Lifetime Total Video Views", plain("views")),
    Metric("post_video_avg_time_watched", "Lifetime Average Time Video Viewed", _average),
    Metric("post_video_view_time", "Lifetime Total Video View Time", _watched),
    Metric("post_video_likes_by_reaction_type", "Lifetime Reactions by Type", _reactions),
    Metric("post_video_social_actions", "Lifetime Social Actions", _social),
    Metric("blue_reels_play_count", "Lifetime Reel Plays", plain("views")),
    Metric("fb_reels_total_plays", "Lifetime Reel Plays with Replays", plain("views")),
    Metric("fb_reels_replay_count", "Lifetime Reel Replays", nothing),
)
VIDEO_METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _VIDEO}


def video_insights(context: Context) -> object:
    """Nothing for a video that no post shows yet (M)."""
    need_page_token(context)
    names = names_of(context.params) if context.params.get("metric") else list(VIDEO_METRICS)
    if any(name not in VIDEO_METRICS for name in names):
        raise not_a_metric()
    video = context.named
    post = context.world.nodes.get(str(video.values.get("post_id")))
    if post is None or post.kind != "post":
        return {"data": []}
    numbers = added(lifetime(context.world, post))
    return {"data": [_shown(video, VIDEO_METRICS[name], numbers) for name in names]}


def _shown(video: Node, metric: Metric, numbers: Numbers) -> dict[str, Any]:
    shown = entry(video, metric, "lifetime", {"values": [{"value": metric.count(numbers, video)}]})
    return {**shown, "id": f"{video.id}/video_insights/{metric.name}/lifetime"}


OPERATIONS = (Operation("meta.video.insights", "GET", "{video}/video_insights", video_insights, scopes=SCOPES),)
