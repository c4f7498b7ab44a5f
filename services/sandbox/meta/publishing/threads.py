"""Publishing on Threads: containers, their publication, replies, deletion, quotas.

Calls, parameters and limits O (docs/threads/posts, threads/troubleshooting, and the Postman collection of
github.com/fbsamples/threads_api). What a second publication of one container answers is not documented: here as for
one that does not exist.
"""

import re
from collections.abc import Mapping
from typing import Any

from services.sandbox.meta import inputs
from services.sandbox.meta.errors import bad_parameter
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.posts import count_thread
from services.sandbox.meta.publishing import containers, refusals
from services.sandbox.meta.publishing.instagram import chosen
from services.sandbox.meta.publishing.media import is_reachable
from services.sandbox.meta.read_back import answer
from services.sandbox.meta.world import Moment, Node

HOSTS = ("graph.threads.net",)
SCOPES = ("threads_content_publish",)  # O
KIND = "threads_container"
MEDIA_TYPES = ("CAROUSEL", "IMAGE", "TEXT", "VIDEO")  # O
REPLY_CONTROLS = (
    "everyone", "accounts_you_follow", "mentioned_only", "parent_post_author_only", "followers_only",
)  # fmt: skip
"""O."""
MAX_TEXT, MAX_LINKS, MAX_TAG = 500, 5, 50  # O
_DAY_SECONDS = 86_400
QUOTAS: Mapping[str, tuple[str, int]] = {
    "quota": ("published_moments", 250),
    "reply_quota": ("replied_moments", 1000),
    "delete_quota": ("deleted_moments", 100),
    "location_search_quota": ("searched_moments", 500),
}
"""What is counted for 24 hours -> where, and how much of it there is (O)."""
_CONFIGS = {"quota": "config"}
_LINK = re.compile(r"https?://[^\s<>\"')\]]+", re.IGNORECASE)


def _create(context: Context) -> object:
    """Public only with `auto_publish_text`, which makes the id that of the post (O)."""
    params, owner = context.params, context.named
    media_type = inputs.choice(params, "media_type", MEDIA_TYPES)
    if media_type is None:
        raise inputs.missing("media_type")
    draft = _draft(context, media_type)
    if media_type == "CAROUSEL":
        draft["children"] = _children(context, owner)
        takes, problem = containers.PROCESSING["IMAGE"], None
    elif media_type == "TEXT":
        if not draft["text"]:
            raise inputs.missing("text")
        takes, problem = containers.PROCESSING["TEXT"], None
    else:
        name = f"{media_type.lower()}_url"
        url = inputs.required(params, name)
        draft["media_url"] = url
        takes = containers.PROCESSING[media_type]
        problem = None if is_reachable(url) else "FAILED_DOWNLOADING_VIDEO" if media_type == "VIDEO" else "UNKNOWN"
    if media_type == "TEXT" and inputs.flag(params, "auto_publish_text"):
        _count(context, owner, draft)
        return answer(context, _make_post(context, owner, draft))
    return answer(context, containers.open_container(context, owner, KIND, draft, takes, problem))


def _draft(context: Context, media_type: str) -> dict[str, Any]:
    params = context.params
    text = inputs.text(params, "text") or ""
    link = inputs.text(params, "link_attachment")
    if _length(text) > MAX_TEXT:
        raise refusals.threads_text_too_long(MAX_TEXT)
    if len({*_LINK.findall(text), *([link] if link else ())}) > MAX_LINKS:
        raise refusals.too_many_links(MAX_LINKS)
    if link and media_type != "TEXT":
        raise bad_parameter("Param link_attachment is for text posts only")
    tag = inputs.text(params, "topic_tag")
    if tag is not None and (not 1 <= len(tag) <= MAX_TAG or set(tag) & set(".&")):
        raise bad_parameter(f"Param topic_tag must be 1 to {MAX_TAG} characters without . and &")
    return {
        "media_type": media_type,
        "text": text,
        "link_attachment": link,
        "alt_text": inputs.text(params, "alt_text"),
        "topic_tag": tag,
        "reply_control": inputs.choice(params, "reply_control", REPLY_CONTROLS),
        "reply_to": _post_named(context, "reply_to_id"),
        "quoted": _post_named(context, "quote_post_id"),
        "is_item": bool(inputs.flag(params, "is_carousel_item")),
    }


def _length(text: str) -> int:
    """Characters; an emoji counts as many as it has bytes (O)."""
    return sum(len(sign.encode("utf-8", "replace")) if _is_emoji(sign) else 1 for sign in text)


def _is_emoji(sign: str) -> bool:
    return ord(sign) >= 0x1F000 or 0x2600 <= ord(sign) <= 0x27BF


def _post_named(context: Context, name: str) -> str | None:
    post_id = inputs.text(context.params, name)
    if post_id is None:
        return None
    post = context.world.nodes.get(post_id)
    if post is None or post.kind != "threads_post":
        raise refusals.threads_media_not_found(post_id)
    return post_id


def _children(context: Context, owner: Node) -> list[str]:
    """Two to twenty items of the same profile (O)."""
    ids = inputs.texts(context.params, "children") or []
    if not 2 <= len(ids) <= 20:
        raise bad_parameter("Param children must hold 2 to 20 items")
    for child_id in ids:
        child = context.world.nodes.get(child_id)
        if child is None or child.kind != KIND or child.account != owner.id or not child.values["draft"]["is_item"]:
            raise refusals.threads_media_not_found(child_id)
    return ids


def _publish(context: Context) -> object:
    """The one call with a public effect. Not ready is told as not found (T), failed and expired too (M)."""
    owner, world = context.named, context.world
    container_id = inputs.required(context.params, "creation_id")
    container = world.nodes.get(container_id)
    if container is None or container.kind != KIND or container.account != owner.id:
        raise refusals.threads_media_not_found(container_id)
    draft = container.values["draft"]
    parts = [container, *(world.nodes[child] for child in draft.get("children", ()))]
    if draft["is_item"] or any(containers.state_of(part) != containers.FINISHED for part in parts):
        raise refusals.threads_media_not_found(container_id)
    _count(context, owner, draft)
    post = _make_post(context, owner, draft)
    for part in parts:
        containers.set_state(world, part, containers.PUBLISHED)
    return answer(context, post)


def _count(context: Context, owner: Node, draft: Mapping[str, Any]) -> None:
    """Replies have a quota of their own (O)."""
    if draft["reply_to"]:
        _use(context, owner, "reply_quota", "replies")
    else:
        _use(context, owner, "quota", "posts")


def _use(context: Context, owner: Node, quota: str, what: str) -> None:
    now = context.around.clock.now()
    counter, most = QUOTAS[quota]
    moments = containers.recent(owner, counter, now)
    if len(moments) >= most:
        raise refusals.threads_quota_used(f"{most} {what} in 24 hours")
    context.world.change(owner, {counter: [*moments, now.timestamp()]})


def _make_post(context: Context, owner: Node, draft: Mapping[str, Any], above: Node | None = None) -> Node:
    world, now = context.world, context.around.clock.now()
    post_id = world.new_id("threads_post")
    shortcode, username = f"D{int(post_id):x}", owner.values.get("username")
    shown = {"TEXT": "TEXT_POST", "CAROUSEL": "CAROUSEL_ALBUM"}.get(draft["media_type"], draft["media_type"])
    values: dict[str, Any] = {
        "id": post_id,
        "media_product_type": "THREADS",
        "media_type": shown,
        "timestamp": Moment.fromtimestamp(int(now.timestamp()), now.tzinfo),
        "shortcode": shortcode,
        "permalink": f"https://www.threads.net/@{username}/post/{shortcode}",
        "username": username,
        "owner": {"id": owner.id},
        "is_quote_post": bool(draft["quoted"]),
        "is_reply": bool(draft["reply_to"]),
    }
    if draft["text"] or shown == "TEXT_POST":
        values["text"] = draft["text"]
    if "media_url" in draft:
        values["media_url"] = f"https://scontent.example/{post_id}"
    values |= {name: draft[name] for name in ("alt_text", "topic_tag", "reply_control") if draft.get(name)}
    if draft.get("link_attachment"):
        values["link_attachment_url"] = draft["link_attachment"]
    parent = world.nodes.get(str(draft["reply_to"])) if draft["reply_to"] else None
    for name, field in (("quoted", "quoted_post"), ("reposted", "reposted_post")):
        if draft.get(name):
            values[field] = {"id": draft[name]}
    if parent is not None:
        values["replied_to"] = {"id": parent.id}
        values["root_post"] = parent.values.get("root_post") or {"id": parent.id}
    directly_above = above or owner
    node = Node(post_id, "threads_post", owner.id, values, now, now, (directly_above.kind, directly_above.id))
    if above is None:
        count_thread(world, node)
    listed_in = (above,) if above else (owner, parent) if parent else (owner,)
    edge = "children" if above else "replies" if parent else "threads"
    post = world.create(node, listed_in=listed_in, edge=edge)
    for child_id in draft.get("children", ()):
        _make_post(context, owner, world.nodes[child_id].values["draft"], post)
    return post


def _repost(context: Context) -> object:
    """Counts as a post (M); what it shows is the other one (O, threads/posts/reposts)."""
    original, world = context.named, context.world
    profile = world.nodes[context.token.owner[1]]
    draft = {"media_type": "REPOST_FACADE", "text": "", "reply_to": None, "quoted": None}
    _count(context, profile, draft)
    return {"id": _make_post(context, profile, {**draft, "reposted": original.id}).id}


def _delete(context: Context) -> object:
    post, world = context.named, context.world
    _use(context, world.nodes[post.account], "delete_quota", "deletions")
    world.remove(post)
    return {"success": True, "deleted_id": post.id}


def _hide(context: Context) -> object:
    hidden = inputs.flag(context.params, "hide")
    if hidden is None:
        raise inputs.missing("hide")
    context.world.change(context.named, {"hide_status": "HIDDEN" if hidden else "UNHUSHED"})
    return {"success": True}


def _limit(context: Context) -> object:
    now = context.around.clock.now()
    known: dict[str, Any] = {}
    for quota, (counter, most) in QUOTAS.items():
        known[f"{quota}_usage"] = len(containers.recent(context.named, counter, now))
        known[_CONFIGS.get(quota, quota.replace("quota", "config"))] = {
            "quota_total": most,
            "quota_duration": _DAY_SECONDS,
        }
    return {"data": [chosen(context, known, ("quota_usage", "config"), "ThreadsPublishingLimit")]}


OPERATIONS = (
    Operation("meta.threads.create_container", "POST", "{threads}/threads", _create, HOSTS, scopes=SCOPES),
    Operation("meta.threads.publish", "POST", "{threads}/threads_publish", _publish, HOSTS, scopes=SCOPES),
    Operation(
        "meta.threads.threads_publishing_limit", "GET", "{threads}/threads_publishing_limit", _limit, HOSTS,
        scopes=SCOPES,
    ),
    Operation("meta.threads_post.repost", "POST", "{threads_post}/repost", _repost, HOSTS, scopes=SCOPES),
    Operation("meta.threads_post.delete", "DELETE", "{threads_post}", _delete, HOSTS, scopes=("threads_delete",)),
    Operation(
        "meta.threads_post.manage_reply", "POST", "{threads_post}/manage_reply", _hide, HOSTS,
        scopes=("threads_manage_replies",),
    ),
)  # fmt: skip
