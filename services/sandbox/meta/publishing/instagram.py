"""Publishing on Instagram: containers for images, reels, stories and carousels, then their publication.

Calls O (instagram-platform/content-publishing, ig-user/media, ig-user/media_publish,
ig-user/content_publishing_limit), parameters S. Of the three official quotas the reference's 50 is taken. What a second
publication of one container answers is not documented: here the same refusal as for one that is not ready.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from services.sandbox.meta import inputs
from services.sandbox.meta.errors import unknown_field
from services.sandbox.meta.moments import read_moment
from services.sandbox.meta.operations import GRAPH, Context, Operation
from services.sandbox.meta.posts import count_media
from services.sandbox.meta.publishing import containers, refusals
from services.sandbox.meta.publishing.media import is_reachable, other_format
from services.sandbox.meta.publishing.reels import upload_address
from services.sandbox.meta.read_back import answer
from services.sandbox.meta.versions import CURRENT
from services.sandbox.meta.world import Moment, Node, Ref, World

INSTAGRAM = "graph.instagram.com"
HOSTS = (GRAPH, INSTAGRAM)
PUBLISH_SCOPES = ("instagram_content_publish", "instagram_business_content_publish")  # O
COMMENT_SCOPES = ("instagram_manage_comments", "instagram_business_manage_comments")  # O
QUOTA = {"quota_total": 50, "quota_duration": 86_400}  # O
MAX_CAPTION_CHARS, MAX_HASHTAGS, MAX_MENTIONS = 2200, 30, 20  # O
MAX_VIDEO_MS = 90_000  # O: reels of 3 to 90 seconds
MEDIA_TYPES = ("CAROUSEL", "IMAGE", "REELS", "STORIES", "VIDEO")  # O
STORY_LIFE = timedelta(hours=24)  # O
_PUBLISHED_AT = "published_moments"


def _create(context: Context) -> object:
    """Nothing of it is public until it is published (O)."""
    params, owner = context.params, context.named
    media_type = inputs.text(params, "media_type") or "IMAGE"
    if media_type not in MEDIA_TYPES:
        raise refusals.unknown_media_type(media_type)
    caption = inputs.text(params, "caption") or ""
    _check_caption(caption)
    is_item = bool(inputs.flag(params, "is_carousel_item"))
    draft: dict[str, Any] = {"media_type": media_type, "caption": caption, "is_item": is_item}
    draft["alt_text"] = inputs.text(params, "alt_text")
    if media_type == "CAROUSEL":
        draft["children"] = _children(context, owner)
        container = containers.open_container(context, owner, "container", draft, containers.PROCESSING["IMAGE"])
        return answer(context, container)
    if inputs.text(params, "upload_type") == "resumable":
        container = containers.open_container(context, owner, "container", {**draft, "is_video": True}, None)
        version = context.root.rpartition("/")[2] or CURRENT
        return {"id": container.id, "uri": upload_address(context, f"ig-api-upload/{version}/{container.id}")}
    return answer(context, _open(context, owner, draft))


def _open(context: Context, owner: Node, draft: dict[str, Any]) -> Node:
    params, media_type = context.params, draft["media_type"]
    image, video = inputs.text(params, "image_url"), inputs.text(params, "video_url")
    if media_type in {"REELS", "VIDEO"}:
        if not video:
            raise inputs.missing("video_url")
        image = None
    elif media_type == "IMAGE" and not image:
        # Old single videos name no type (T); an item of a carousel must (O).
        raise inputs.missing("image_url")
    if not (image or video):
        raise inputs.missing("image_url")
    offset = inputs.whole(params, "thumb_offset")
    if offset is not None and not 0 <= offset < MAX_VIDEO_MS:
        raise refusals.wrong_thumbnail()
    _check_product_tags(context, is_video=image is None)
    draft |= {"is_video": image is None, "media_url": image or video}
    if image is None:
        # Videos are fetched later: the container tells what came of it (O).
        problem = None if is_reachable(str(video)) else "2207052"
        takes = containers.PROCESSING["VIDEO"]
        return containers.open_container(context, owner, "container", draft, takes, problem)
    if not is_reachable(image):
        raise refusals.media_unreachable(image)
    found = other_format(image)
    if found:
        raise refusals.wrong_image_format(found)
    return containers.open_container(context, owner, "container", draft, containers.PROCESSING["IMAGE"])


def _check_caption(caption: str) -> None:
    if len(caption) > MAX_CAPTION_CHARS:
        raise refusals.caption_too_long(len(caption), MAX_CAPTION_CHARS)
    if len(re.findall(r"#\w", caption)) > MAX_HASHTAGS:
        raise refusals.caption_too_long(len(caption), MAX_CAPTION_CHARS)
    if len(re.findall(r"(?<!\w)@\w", caption)) > MAX_MENTIONS:
        raise refusals.too_many_tags(MAX_MENTIONS)


def _check_product_tags(context: Context, *, is_video: bool) -> None:
    """Products of the world, with a place on pictures and without one on videos (O)."""
    tags = inputs.items(context.params, "product_tags") or []
    if len(tags) > MAX_MENTIONS:
        raise refusals.too_many_tags(MAX_MENTIONS)
    for tag in tags:
        product = context.world.nodes.get(str(tag.get("product_id"))) if isinstance(tag, dict) else None
        if product is None or product.kind != "product":
            raise refusals.unknown_product()
        placed = "x" in tag and "y" in tag
        if placed and is_video:
            raise refusals.tag_with_place()
        if not placed and not is_video:
            raise refusals.tag_without_place()


def _children(context: Context, owner: Node) -> list[str]:
    """Two to ten items of the same account, none published yet."""
    ids = inputs.texts(context.params, "children") or []
    if not 2 <= len(ids) <= 10:
        raise refusals.not_a_carousel()
    for child_id in ids:
        child = context.world.nodes.get(child_id)
        if child is None or child.kind != "container" or child.account != owner.id:
            raise refusals.media_not_found(child_id)
        if not child.values["draft"]["is_item"] or containers.state_of(child) == containers.EXPIRED:
            raise refusals.container_expired(child_id)
    return ids


def _publish(context: Context) -> object:
    """The one call with a public effect."""
    owner, world, now = context.named, context.world, context.around.clock.now()
    container_id = inputs.required(context.params, "creation_id")
    container = world.nodes.get(container_id)
    if container is None or container.kind != "container" or container.account != owner.id:
        raise refusals.media_not_found(container_id)
    _check_ready(context, container)
    published = containers.recent(owner, _PUBLISHED_AT, now)
    if len(published) >= QUOTA["quota_total"]:
        raise refusals.instagram_quota_used()
    media = _make_media(context, owner, container.values["draft"])
    containers.set_state(world, container, containers.PUBLISHED)
    counted: dict[str, Any] = {_PUBLISHED_AT: [*published, now.timestamp()]}
    if media.values["media_product_type"] != "STORY":
        counted["media_count"] = int(owner.values.get("media_count") or 0) + 1
    world.change(owner, counted)
    return answer(context, media)


def _check_ready(context: Context, container: Node) -> None:
    state = containers.state_of(container)
    draft = container.values["draft"]
    if state == containers.EXPIRED or draft["is_item"]:
        raise refusals.container_expired(container.id)
    if state == containers.ERROR:
        raise refusals.container_failed()
    children = [context.world.nodes[child] for child in draft.get("children", ())]
    for part in (container, *children):
        if containers.state_of(part) == containers.ERROR:
            raise refusals.container_failed()
        if containers.state_of(part) != containers.FINISHED:
            raise refusals.container_not_ready()


def _make_media(context: Context, owner: Node, draft: Mapping[str, Any], above: Node | None = None) -> Node:
    world, now = context.world, context.around.clock.now()
    media_id = world.new_id("media")
    shortcode = f"C{int(media_id):x}"
    is_story = draft["media_type"] == "STORIES"
    product = "STORY" if is_story else "REELS" if draft["media_type"] == "REELS" else "FEED"
    children = draft.get("children", ())
    values: dict[str, Any] = {
        "id": media_id,
        "media_type": "CAROUSEL_ALBUM" if children else "VIDEO" if draft.get("is_video") else "IMAGE",
        "media_product_type": product,
        "media_url": f"https://scontent.cdninstagram.com/v/{media_id}.{'mp4' if draft.get('is_video') else 'jpg'}",
        "timestamp": Moment.fromtimestamp(int(now.timestamp()), now.tzinfo),
        "permalink": f"https://www.instagram.com/{'reel' if product == 'REELS' else 'p'}/{shortcode}/",
        "shortcode": shortcode,
        "username": owner.values.get("username"),
        "owner": Ref(owner.id),
        "is_comment_enabled": True,
    }
    values |= {name: draft[name] for name in ("caption", "alt_text") if draft.get(name)}
    directly_above = above or owner
    node = Node(media_id, "media", owner.id, values, now, now, (directly_above.kind, directly_above.id))
    if above is None:
        count_media(world, node)
    edge = "children" if above else "stories" if is_story else "media"
    media = world.create(node, listed_in=(above or owner,), edge=edge)
    if is_story:
        world.agenda.at(now + STORY_LIFE, _end_of_story(world, media_id))
    for child_id in children:
        child = world.nodes[child_id]
        _make_media(context, owner, child.values["draft"], media)
        containers.set_state(world, child, containers.PUBLISHED)
    return media


def _end_of_story(world: World, media_id: str) -> Callable[[datetime], None]:
    """Out of the list of stories; the medium itself stays readable (O)."""

    def act(_: datetime) -> None:
        media = world.nodes.get(media_id)
        if media is not None:
            world.delist(media, world.nodes[media.account], "stories")

    return act


def _limit(context: Context) -> object:
    """Usage of the last 24 hours; `quota_usage` alone without `fields` (O)."""
    now = context.around.clock.now()
    since = read_moment(context.params, "since", now)
    moments = containers.recent(context.named, _PUBLISHED_AT, now)
    usage = sum(since is None or moment >= since.timestamp() for moment in moments)
    return {
        "data": [
            chosen(context, {"quota_usage": usage, "config": QUOTA}, ("quota_usage",), "ContentPublishingLimitResponse")
        ]
    }


def chosen(context: Context, known: Mapping[str, Any], default: tuple[str, ...], type_name: str) -> dict[str, Any]:
    """The fields that were asked for, of an answer that is no object of the world."""
    asked = [name.strip() for name in context.params.get("fields", "").split(",") if name.strip()] or list(default)
    for name in asked:
        if name not in known:
            raise unknown_field(name, type_name)
    return {name: known[name] for name in asked}


def _delete(context: Context) -> object:
    """S; Instagram Login only names it in the spec."""
    media, world = context.named, context.world
    owner = world.nodes[media.account]
    world.remove(media)
    world.change(owner, {"media_count": max(0, int(owner.values.get("media_count") or 0) - 1)})
    return {"success": True}


def _edit(context: Context) -> object:
    """Comments on or off: all that changes after publication (S)."""
    enabled = inputs.flag(context.params, "comment_enabled")
    if enabled is None:
        raise inputs.missing("comment_enabled")
    context.world.change(context.named, {"is_comment_enabled": enabled})
    return {"success": True}


OPERATIONS = (
    Operation("meta.instagram.create_container", "POST", "{instagram}/media", _create, HOSTS, scopes=PUBLISH_SCOPES),
    Operation("meta.instagram.publish", "POST", "{instagram}/media_publish", _publish, HOSTS, scopes=PUBLISH_SCOPES),
    Operation(
        "meta.instagram.content_publishing_limit",
        "GET",
        "{instagram}/content_publishing_limit",
        _limit,
        HOSTS,
        scopes=PUBLISH_SCOPES,
    ),
    Operation("meta.media.update", "POST", "{media}", _edit, HOSTS, scopes=COMMENT_SCOPES),
    Operation("meta.media.delete", "DELETE", "{media}", _delete, HOSTS, scopes=PUBLISH_SCOPES),
)
