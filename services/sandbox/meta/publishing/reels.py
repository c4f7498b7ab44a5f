"""Reels and video stories of a page: begun, uploaded to another host, finished.

Phases, states and limits O (video-api/guides/reels-publishing); that a story's end tells the post's id T.
"""

from datetime import timedelta
from urllib.parse import urlsplit

from services.sandbox.meta import inputs
from services.sandbox.meta.moments import read_moment
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.publishing import refusals
from services.sandbox.meta.publishing.posts import SCOPES, make_post, page_token_only
from services.sandbox.meta.publishing.schedule import NOW, Plan, check_moment
from services.sandbox.meta.publishing.uploads import RUPLOAD
from services.sandbox.meta.publishing.videos import new_video, process, unfinished_video
from services.sandbox.meta.versions import CURRENT
from services.sandbox.meta.world import Node

MOST_REELS = 30  # O, per page and 24 hours
DAY = timedelta(hours=24)
LATEST_REEL = timedelta(days=29)  # O
_FINISHED = "finished_reels"
"""A list of our own: Meta has no edge for what is still on its way."""
STATES = ("DRAFT", "PUBLISHED", "SCHEDULED")  # S


def _reel(context: Context) -> object:
    return _phase(context, "reel")


def _story(context: Context) -> object:
    return _phase(context, "story")


def _phase(context: Context, purpose: str) -> object:
    page_token_only(context)
    phase = (inputs.text(context.params, "upload_phase") or "").lower()
    if phase == "start":
        return _start(context, purpose)
    if phase == "finish":
        return _finish(context, purpose)
    inputs.choice({"upload_phase": phase}, "upload_phase", ("start", "finish"))
    raise inputs.missing("upload_phase")


def _start(context: Context, purpose: str) -> object:
    video = new_video(context, context.named, purpose)
    return {"video_id": video.id, "upload_url": upload_address(context, f"video-upload/{_version(context)}/{video.id}")}


def _finish(context: Context, purpose: str) -> object:
    page, params, now = context.named, context.params, context.around.clock.now()
    video = unfinished_video(context.world, page, inputs.required(params, "video_id"), purpose)
    if video.values["status"]["video_status"] != "upload_complete":
        raise refusals.upload_unfinished()
    state = inputs.choice(params, "video_state", STATES) or "PUBLISHED"
    at = read_moment(params, "scheduled_publish_time", now) if state == "SCHEDULED" else None
    if state == "SCHEDULED":
        if at is None:
            raise inputs.missing("scheduled_publish_time")
        check_moment(at, now, LATEST_REEL)
    if purpose == "reel" and _reels_of_a_day(context, page) >= MOST_REELS:
        raise refusals.too_many_reels(MOST_REELS)
    plan = NOW if state == "PUBLISHED" else Plan(is_public=False, at=at)
    if purpose == "story":
        later = Plan(is_public=False)
        post = make_post(context, page, "", later, status_type="added_video", listed=False)
        process(context, context.world.change(video, {"post_id": post.id}), plan)
        return {"success": True, "post_id": post.id}
    context.world.enlist(video, page, _FINISHED)
    process(context, context.world.change(video, {"finished_at": now.timestamp()}), plan)
    # Accepted, not yet live (O).
    return {"success": True}


def _reels_of_a_day(context: Context, page: Node) -> int:
    since = (context.around.clock.now() - DAY).timestamp()
    return sum(video.values["finished_at"] > since for video in context.world.listed(page, _FINISHED))


def upload_address(context: Context, path: str) -> str:
    """On the upload host, reached the way that this call came: by prefix, or under the real name."""
    base = urlsplit(context.request.base_url)
    if base.path.strip("/"):
        return f"{base.scheme}://{base.netloc}/{RUPLOAD}/{path}"
    return f"https://{RUPLOAD}/{path}"


def _version(context: Context) -> str:
    return context.root.rpartition("/")[2] or CURRENT


OPERATIONS = (
    Operation("meta.page.create_reel", "POST", "{page}/video_reels", _reel, scopes=SCOPES),
    Operation("meta.page.create_video_story", "POST", "{page}/video_stories", _story, scopes=SCOPES),
)
