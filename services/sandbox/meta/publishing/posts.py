"""Posts of a page: text, link, photos; drafts and scheduled ones; edited and deleted.

Calls and answers O (pages-api/posts), parameters S, `attached_media` T. A post that is made here belongs to the app of
its token, and only that app edits it (O).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.sandbox.meta import inputs
from services.sandbox.meta.errors import bad_parameter
from services.sandbox.meta.moments import read_moment
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.posts import count_post
from services.sandbox.meta.publishing import refusals
from services.sandbox.meta.publishing.media import is_reachable
from services.sandbox.meta.publishing.schedule import Plan, check_moment, read_plan
from services.sandbox.meta.read_back import answer
from services.sandbox.meta.world import Moment, Node, Ref, World

SCOPES = ("pages_manage_posts",)
MAX_MESSAGE_CHARS = 63_206  # T
MAX_PHOTOS = 80  # M
PUBLIC_EDGES = ("posts", "published_posts")
_SHOWN = ("call_to_action", "child_attachments", "feed_targeting", "place", "targeting")
"""Parameters that fields of the same name show again (S)."""
_TEXT_ONLY, _SHARED, _PHOTOS = "mobile_status_update", "shared_story", "added_photos"  # S


def page_token_only(context: Context) -> None:
    """Raises: GraphError 190/2069032 for any other token."""
    if context.token.kind != "page":
        raise refusals.page_token_needed()


def read_message(context: Context, name: str = "message") -> str:
    message = inputs.text(context.params, name) or ""
    if len(message) > MAX_MESSAGE_CHARS:
        raise refusals.too_long(MAX_MESSAGE_CHARS)
    return message


def make_post(
    context: Context,
    page: Node,
    message: str,
    plan: Plan,
    *,
    status_type: str = _TEXT_ONLY,
    attached: Sequence[Mapping[str, Any]] = (),
    link: str | None = None,
    listed: bool = True,
    at: datetime | None = None,
) -> Node:
    """A new post of the page, listed by what it is. `listed` False: reels and stories, which no feed lists (T)."""
    world, now = context.world, at or context.around.clock.now()
    moment, app = Moment.fromtimestamp(int(now.timestamp()), now.tzinfo), context.token.app
    post_id = f"{page.id}_{world.new_id('post')}"
    values: dict[str, Any] = {
        "id": post_id,
        "created_time": moment,
        "updated_time": moment,
        "from": Ref(page.id),
        "permalink_url": f"https://www.facebook.com/{post_id.replace('_', '/posts/')}",
        "is_published": plan.is_public,
        "is_hidden": False,
        "status_type": status_type,
        "application": {"id": app.id, "name": app.name},
        "attached": list(attached),
        "linked": link,
    }
    if message:
        values["message"] = message
    # What no feed lists is in no sum of the page's numbers either.
    node = Node(post_id, "post", page.id, values, now, now, ("page", page.id), hidden=not listed)
    if plan.is_public:
        count_post(world, node)
    world.create(node, listed_in=(page,) if listed else (), edge="feed")
    if not listed:
        return node
    if plan.is_public:
        _list_publicly(world, node)
    elif plan.at is not None:
        _schedule(world, node, plan.at)
    return node


def publish(world: World, post: Node, at: datetime, *, listed: bool = True) -> None:
    """A draft or a scheduled post becomes public at that moment."""
    moment = Moment.fromtimestamp(int(at.timestamp()), at.tzinfo)
    _unschedule(world, post)
    values = {"is_published": True, "created_time": moment, "scheduled_publish_time": None}
    published = world.change(post, values)
    published.created_at = at
    count_post(world, published)
    if listed:
        _list_publicly(world, published)


def _create(context: Context) -> object:
    page, params = context.named, context.params
    page_token_only(context)
    message, link = read_message(context), inputs.text(params, "link")
    photos = _attached_photos(context, page)
    if not (message or link or photos):
        raise refusals.nothing_to_post()
    if link and not is_reachable(link):
        raise refusals.unreachable_link()
    plan = read_plan(params, context.around.clock.now())
    if plan.is_public and not photos and _repeats_last(context, page, message, link):
        raise refusals.duplicate_post()
    shown = {name: value for name in _SHOWN if (value := inputs.structure(params, name)) is not None}
    attached = [_attachment_of(photo) for photo in photos]
    if link:
        attached.append({"media_type": "link", "type": "share", "url": link, "unshimmed_url": link})
    kind = _PHOTOS if photos else _SHARED if link else _TEXT_ONLY
    post = make_post(context, page, message, plan, status_type=kind, attached=attached, link=link)
    post = context.world.change(post, shown) if shown else post
    for photo in photos:
        context.world.change(photo, {"page_story_id": post.id, "is_posted": True})
    return answer(context, post)


def _attached_photos(context: Context, page: Node) -> list[Node]:
    """Unpublished photos by their ids. Raises: GraphError 100, 100/1366051."""
    given = inputs.items(context.params, "attached_media") or []
    if len(given) > MAX_PHOTOS:
        raise bad_parameter(f"Param attached_media may hold {MAX_PHOTOS} photos")
    photos: list[Node] = []
    for medium in given:
        found = inputs.structure({"medium": medium}, "medium") if isinstance(medium, str) else medium
        photo_id = str(found.get("media_fbid")) if isinstance(found, dict) else str(medium)
        photo = context.world.nodes.get(photo_id)
        if photo is None or photo.kind not in {"photo", "video"} or photo.account != page.id:
            raise refusals.unknown_photo(photo_id)
        if photo.values.get("is_posted"):
            raise refusals.photo_posted_already()
        photos.append(photo)
    return photos


def _attachment_of(photo: Node) -> dict[str, Any]:
    return {
        "media_type": photo.kind,
        "type": photo.kind,
        "target": {"id": photo.id, "url": str(photo.values.get("link", ""))},
        "url": str(photo.values.get("link", "")),
    }


def _repeats_last(context: Context, page: Node, message: str, link: str | None) -> bool:
    """Whether the page's last public post says the same (506: "duplicate of the previous post")."""
    posts = context.world.shown(page, "published_posts")
    last = posts[0] if len(posts) else None
    if last is None or last.values.get("status_type") not in {_TEXT_ONLY, _SHARED}:
        return False
    return (str(last.values.get("message", "")), last.values.get("linked")) == (message, link)


def _edit(context: Context) -> object:
    post, params, now = context.named, context.params, context.around.clock.now()
    page_token_only(context)
    made_by = post.values.get("application")
    if not isinstance(made_by, dict) or made_by.get("id") != context.token.app.id:
        raise refusals.not_our_post()
    values: dict[str, Any] = {}
    if "message" in params:
        values["message"] = read_message(context)
    hidden = inputs.flag(params, "is_hidden")
    if hidden is not None:
        values["is_hidden"] = hidden
    publishes = bool(inputs.flag(params, "is_published")) and not post.values["is_published"]
    at = read_moment(params, "scheduled_publish_time", now)
    if at is not None:
        if post.values["is_published"] or publishes:
            raise refusals.scheduled_though_published()
        check_moment(at, now)
    if values:
        post = context.world.change(post, values)
    if publishes:
        publish(context.world, post, now)
    elif at is not None:
        _unschedule(context.world, post)
        _schedule(context.world, post, at)
    return {"success": True}


def _delete(context: Context) -> object:
    page_token_only(context)
    context.world.remove(context.named)
    return {"success": True}


def _attachments(context: Context) -> object:
    return {"data": [dict(attachment) for attachment in context.named.values.get("attached") or ()]}


def _schedule(world: World, post: Node, at: datetime) -> None:
    post = world.change(post, {"is_published": False, "scheduled_publish_time": int(at.timestamp())})
    world.enlist(post, world.nodes[post.account], "scheduled_posts")
    world.agenda.at(at, _publication(world, post.id, int(at.timestamp())))


def _unschedule(world: World, post: Node) -> None:
    world.delist(post, world.nodes[post.account], "scheduled_posts")


def _publication(world: World, post_id: str, planned: int) -> Any:
    def act(moment: datetime) -> None:
        post = world.nodes.get(post_id)
        # Deleted, published by hand or planned anew since: then this is not its moment.
        if post is not None and post.values.get("scheduled_publish_time") == planned:
            publish(world, post, moment)

    return act


def _list_publicly(world: World, post: Node) -> None:
    page = world.nodes[post.account]
    for edge in PUBLIC_EDGES:
        world.enlist(post, page, edge)


OPERATIONS = (
    Operation("meta.page.create_post", "POST", "{page}/feed", _create, scopes=SCOPES),
    Operation("meta.post.update", "POST", "{post}", _edit, scopes=SCOPES),
    Operation("meta.post.delete", "DELETE", "{post}", _delete, scopes=SCOPES),
    Operation("meta.post.attachments", "GET", "{post}/attachments", _attachments),
)
