"""Photos of a page: published at once with a post of their own, or kept back for a post of several (T) or a story.

Calls O (graph-api/photo-uploads), parameters S, errors T (see `refusals`).
"""

from typing import Any

from services.sandbox.meta import inputs
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.publishing import refusals
from services.sandbox.meta.publishing.media import is_reachable
from services.sandbox.meta.publishing.posts import SCOPES, make_post, page_token_only, read_message
from services.sandbox.meta.publishing.schedule import NOW, read_plan
from services.sandbox.meta.publishing.stories import list_story
from services.sandbox.meta.read_back import answer
from services.sandbox.meta.world import Moment, Node, Ref

MAX_PHOTO_BYTES = 4 * 1024 * 1024  # T


def _create(context: Context) -> object:
    """An unpublished photo is seen by nobody until a post or a story takes it: repeating this is harmless (T)."""
    page, params, world = context.named, context.params, context.world
    page_token_only(context)
    _check_source(context)
    caption = read_message(context, "caption") or read_message(context)
    now = context.around.clock.now()
    plan = read_plan(params, now)
    moment = Moment.fromtimestamp(int(now.timestamp()), now.tzinfo)
    photo_id = world.new_id("asset")
    link = f"https://www.facebook.com/photo/?fbid={photo_id}"
    values: dict[str, Any] = {
        "id": photo_id,
        "created_time": moment,
        "updated_time": moment,
        "from": Ref(page.id),
        "link": link,
        "picture": f"https://scontent.xx.fbcdn.net/v/{photo_id}_s.jpg",
        "images": [{"width": 1080, "height": 1080, "source": f"https://scontent.xx.fbcdn.net/v/{photo_id}_o.jpg"}],
        "width": 1080,
        "height": 1080,
        "is_posted": False,
    }
    if caption:
        values["name"] = caption
    alt_text = inputs.text(params, "alt_text_custom")
    if alt_text:
        values["alt_text_custom"] = alt_text
    photo = world.create(Node(photo_id, "photo", page.id, values, now, now, ("page", page.id)))
    if not plan.is_public and plan.at is None:
        return answer(context, photo)
    attachment = {"media_type": "photo", "type": "photo", "target": {"id": photo_id, "url": link}, "url": link}
    post = make_post(context, page, caption, plan, status_type="added_photos", attached=[attachment])
    photo = world.change(photo, {"page_story_id": post.id, "is_posted": True})
    world.enlist(photo, page, "photos")
    return answer(context, photo, post_id=post.id)


def _check_source(context: Context) -> None:
    """Raises: GraphError 324 for nothing to fetch or to read, 1366046 for a file over 4 MB."""
    files = context.request.files
    file = files.get("source") or next(iter(files.values()), None)
    if file is not None:
        if not file.content or file.content_type.startswith("text/"):
            raise refusals.no_image()
        if len(file.content) > MAX_PHOTO_BYTES:
            raise refusals.image_too_big()
        return
    url = inputs.text(context.params, "url")
    if not url or not is_reachable(url):
        raise refusals.no_image()


def _story(context: Context) -> object:
    """Shape of the answer T. A story is in no feed (T)."""
    page, world = context.named, context.world
    page_token_only(context)
    photo_id = inputs.required(context.params, "photo_id")
    photo = world.nodes.get(photo_id)
    if photo is None or photo.kind != "photo" or photo.account != page.id:
        raise refusals.unknown_photo(photo_id)
    if photo.values.get("is_posted"):
        raise refusals.photo_posted_already()
    post = make_post(context, page, "", NOW, status_type="added_photos", listed=False)
    photo = world.change(photo, {"page_story_id": post.id, "is_posted": True})
    list_story(world, page, post, photo)
    return {"success": True, "post_id": post.id}


def _delete(context: Context) -> object:
    """The post that was made for it goes too (M)."""
    page_token_only(context)
    photo, world = context.named, context.world
    post = world.nodes.get(str(photo.values.get("page_story_id")))
    if post is not None and len(post.values.get("attached") or ()) == 1:
        world.remove(post)
    world.remove(photo)
    return {"success": True}


OPERATIONS = (
    Operation("meta.page.create_photo", "POST", "{page}/photos", _create, scopes=SCOPES),
    Operation("meta.page.create_photo_story", "POST", "{page}/photo_stories", _story, scopes=SCOPES),
    Operation("meta.photo.delete", "DELETE", "{photo}", _delete, scopes=SCOPES),
)
