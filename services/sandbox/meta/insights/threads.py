"""Insights of Threads accounts and posts.

Metrics, their shapes and what they need O (threads/insights, updated January 2026): `views` of an account has a value
a day, `clicks` one a link, the others one for all days. What goes beyond is T, recorded by clients.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from services.sandbox.meta.errors import bad_parameter
from services.sandbox.meta.insights import demographics
from services.sandbox.meta.insights.organic import Days, Metric, answer, end_time, entry, names_of, plain, window
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.statistics import Numbers, added, lifetime
from services.sandbox.meta.world import Node

HOSTS = ("graph.threads.net",)
SCOPES = ("threads_manage_insights",)


def _followers(numbers: Numbers, node: Node) -> int:
    return int(node.values.get("followers_count", 0))


_ACCOUNT = (
    Metric("views", "views", plain("impressions"), description="The number of times your profile was viewed."),
    Metric("likes", "likes", plain("likes"), description="The number of likes on your posts."),
    Metric("replies", "replies", plain("comments"), description="The number of replies on your posts."),
    Metric("reposts", "reposts", plain("reposts"), description="The number of times your posts were reposted."),
    Metric("quotes", "quotes", plain("quotes"), description="The number of times your posts were quoted."),
    Metric("clicks", "clicks", plain("link_clicks"), description="The number of clicks on links in your posts."),
    Metric("followers_count", "followers_count", _followers, description="The total number of your followers."),
    Metric("follower_demographics", "follower_demographics", _followers, ("lifetime",)),
)
_POST = (
    Metric(
        "views", "Views", plain("impressions"), description="The number of times your post was played or displayed."
    ),
    Metric("likes", "Likes", plain("likes"), description="The number of likes on the post."),
    Metric("replies", "Replies", plain("comments"), description="The number of replies on the post."),
    Metric("reposts", "Reposts", plain("reposts"), description="The number of times the post was reposted."),
    Metric("quotes", "Quotes", plain("quotes"), description="The number of times the post was quoted."),
    Metric("shares", "Shares", plain("shares"), description="The number of times the post was shared."),
)
ACCOUNT_METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ACCOUNT}
POST_METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _POST}


def account_insights(context: Context) -> object:
    """Yesterday by default (T)."""
    account = context.named
    metrics = _metrics(context, ACCOUNT_METRICS)
    now = context.around.clock.now()
    chosen = window(context.params, now, 1, newest=now.date() - timedelta(days=1))
    days = Days(context.world, account, chosen)
    entries = []
    for metric in metrics:
        if metric.name == "follower_demographics":
            entries += _demographics(context, metric)
            continue
        content: dict[str, Any]
        if metric.name == "views":
            content = {
                "values": [
                    {"value": metric.count(days.of(day), account), "end_time": end_time(day)}
                    for day in chosen.days()
                    if days.has(day)
                ]
            }
        elif metric.name == "clicks":
            value = metric.count(days.sum(chosen), account)
            url = f"https://www.threads.net/@{account.values.get('username', '')}"
            content = {"link_total_values": [{"value": value, "link_url": url}] if value else []}
        else:
            content = {"total_value": {"value": metric.count(days.sum(chosen), account)}}
        entries.append(entry(account, metric, "day", content))
    return answer(context, entries, None)


def post_insights(context: Context) -> object:
    """Numbers over the whole life; none for reposts of others' posts (O)."""
    post = context.named
    metrics = _metrics(context, POST_METRICS)
    if post.values.get("media_type") == "REPOST_FACADE":
        return {"data": []}
    numbers = added(lifetime(context.world, post))
    return {
        "data": [
            entry(post, metric, "lifetime", {"values": [{"value": metric.count(numbers, post)}]}) for metric in metrics
        ]
    }


def _metrics(context: Context, known: Mapping[str, Metric]) -> list[Metric]:
    names = names_of(context.params)
    for index, name in enumerate(names):
        if name not in known:
            raise bad_parameter(f"metric[{index}] must be one of the following values: {', '.join(known)}")
    return [known[name] for name in names]


def _demographics(context: Context, metric: Metric) -> list[dict[str, Any]]:
    """One of four breakdowns is needed (O); nothing for fewer than a hundred followers (O; how it is told M)."""
    account = context.named
    asked = context.params.get("breakdown", "").strip('"')
    if asked not in demographics.BREAKDOWNS:
        raise bad_parameter(f"breakdown must be one of the following values: {', '.join(demographics.BREAKDOWNS)}")
    followers = _followers(Numbers(), account)
    if followers < demographics.LEAST_FOLLOWERS:
        return []
    parts = demographics.of_followers(followers, (asked,))
    content = {"total_value": {"breakdowns": demographics.breakdown((asked,), parts)}}
    return [entry(account, metric, "lifetime", content)]


OPERATIONS = (
    Operation("meta.threads.insights", "GET", "{threads}/threads_insights", account_insights, HOSTS, scopes=SCOPES),
    Operation("meta.threads_post.insights", "GET", "{threads_post}/insights", post_insights, HOSTS, scopes=SCOPES),
)
