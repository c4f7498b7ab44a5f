"""Videos of a page: given whole, by address or in chunks; processed for a while, then published, scheduled or kept.

Calls O (video-api/guides/publishing), parameters S; in chunks: `chunks.py`. The file's bytes are counted and thrown
away.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from services.sandbox.meta import inputs
from services.sandbox.meta.operations import GRAPH, Context, Operation
from services.sandbox.meta.publishing import refusals
from services.sandbox.meta.publishing.chunks import PHASES, InChunks, is_finished
from services.sandbox.meta.publishing.media import is_reachable
from services.sandbox.meta.publishing.posts import SCOPES, make_post, page_token_only, publish
from services.sandbox.meta.publishing.schedule import Plan, read_plan
from services.sandbox.meta.publishing.stories import list_story
from services.sandbox.meta.read_back import answer
from services.sandbox.meta.world import Moment, Node, Ref, World

GRAPH_VIDEO = "graph-video.facebook.com"
PROCESSING = timedelta(seconds=2)  # not documented: minutes at Meta, so short that tests need not move the clock
_EDGE_OF = {"video": "videos", "reel": "video_reels"}


def new_video(context: Context, page: Node, purpose: str, *, size: int | None = None) -> Node:
    """A video that nobody sees yet. `purpose`: video, reel or story; `size`: bytes that are to come."""
    now, world = context.around.clock.now(), context.world
    moment = Moment.fromtimestamp(int(now.timestamp()), now.tzinfo)
    video_id = world.new_id("asset")
    path = "reel" if purpose == "reel" else f"{page.id}/videos"
    values: dict[str, Any] = {
        "id": video_id,
        "created_time": moment,
        "updated_time": moment,
        "from": Ref(page.id),
        "permalink_url": f"/{path}/{video_id}/",
        "published": False,
        "length": 15.0,
        "picture": f"https://scontent.xx.fbcdn.net/v/{video_id}_t.jpg",
        "status": status_of("uploading", uploading="in_progress"),
        "purpose": purpose,
        "received": 0,
        "expected": size,
    }
    return world.create(Node(video_id, "video", page.id, values, now, now, ("page", page.id)))


def status_of(
    video_status: str,
    *,
    uploading: str = "complete",
    processing: str = "not_started",
    publishing: str = "not_started",
    transferred: int | None = None,
    **published: Any,
) -> dict[str, Any]:
    """The `status` of a video (words and their spelling O, video-api/guides/reels-publishing)."""
    so_far = {} if transferred is None else {"bytes_transfered": transferred}
    return {
        "video_status": video_status,
        "uploading_phase": {"status": uploading, **so_far},
        "processing_phase": {"status": processing},
        "publishing_phase": {"status": publishing, **published},
    }


def describe(context: Context) -> dict[str, str]:
    """Title and text, as far as they are given."""
    given = ((name, inputs.text(context.params, name)) for name in ("title", "description"))
    return {name: value for name, value in given if value}


def process(context: Context, video: Node, plan: Plan) -> Node:
    """The bytes are there: it is processed, and then what is planned happens."""
    world = context.world
    status = status_of("processing", processing="in_progress")
    video = world.change(video, {**describe(context), "status": status})
    world.agenda.at(context.around.clock.now() + PROCESSING, _when_ready(context, video.id, plan))
    return video


def _when_ready(context: Context, video_id: str, plan: Plan) -> Callable[[datetime], None]:
    world = context.world

    def act(moment: datetime) -> None:
        video = world.nodes.get(video_id)
        if video is None:
            return
        if plan.is_public:
            _publish(context, video, moment)
            return
        kept: dict[str, Any] = {"publish_status": "draft"}
        if plan.at is not None:
            kept = {"publish_status": "scheduled", "publish_time": plan.at.isoformat()}
            world.change(video, {"scheduled_publish_time": int(plan.at.timestamp())})
            world.agenda.at(max(plan.at, moment), _when_due(context, video_id))
        world.change(video, {"status": status_of("ready", processing="complete", **kept)})

    return act


def _when_due(context: Context, video_id: str) -> Callable[[datetime], None]:
    def act(moment: datetime) -> None:
        video = context.world.nodes.get(video_id)
        if video is not None and not video.values["published"]:
            _publish(context, video, moment)

    return act


def _publish(context: Context, video: Node, at: datetime) -> None:
    world, purpose = context.world, video.values["purpose"]
    page = world.nodes[video.account]
    link = f"https://www.facebook.com{video.values['permalink_url']}"
    attachment = {"media_type": "video", "type": "video_inline", "target": {"id": video.id, "url": link}, "url": link}
    text = str(video.values.get("description") or video.values.get("title") or "")
    post_id = video.values.get("post_id")
    if not post_id:
        post = make_post(
            context,
            page,
            text,
            Plan(is_public=True),
            status_type="added_video",
            attached=[attachment],
            listed=purpose == "video",
            at=at,
        )
        post_id = post.id
    elif str(post_id) in world.nodes:
        publish(world, world.nodes[str(post_id)], at, listed=False)
        list_story(world, page, world.nodes[str(post_id)], video)
    shown = status_of(
        "ready", processing="complete", publishing="complete", publish_status="published", publish_time=at.isoformat()
    )
    values = {"published": True, "post_id": post_id, "status": shown, "scheduled_publish_time": None}
    video = world.change(video, values)
    edge = _EDGE_OF.get(purpose)
    if edge:
        world.enlist(video, page, edge)


def _create(context: Context) -> object:
    page_token_only(context)
    phase = inputs.choice(context.params, "upload_phase", PHASES)
    if phase is not None:
        return _IN_CHUNKS.run(context, phase)
    plan = read_plan(context.params, context.around.clock.now())
    _check_source(context)
    video = new_video(context, context.named, "video")
    return answer(context, process(context, video, plan))


def _check_source(context: Context) -> None:
    """Raises: GraphError 324 for nothing to fetch or to read."""
    file = next(iter(context.request.files.values()), None)
    handle = inputs.text(context.params, "fbuploader_video_file_chunk")
    url = inputs.text(context.params, "file_url")
    upload = context.world.nodes.get(f"upload:{handle.removeprefix('4:')}") if handle else None
    uploaded = upload is not None and upload.values["handle"] == handle
    if not uploaded and not (file and file.content) and not (url and is_reachable(url)):
        raise refusals.no_image("video")


def _begin(context: Context, size: int) -> Node:
    return new_video(context, context.named, "video", size=size)


def _close(context: Context, video: Node) -> None:
    process(context, video, read_plan(context.params, context.around.clock.now()))


_IN_CHUNKS = InChunks(_begin, _close)


def _edit(context: Context) -> object:
    page_token_only(context)
    values: dict[str, Any] = describe(context)
    name = inputs.text(context.params, "name")
    if name:
        values["title"] = name
    video = context.world.change(context.named, values) if values else context.named
    is_ready = video.values["status"]["video_status"] == "ready"
    if inputs.flag(context.params, "published") and is_ready and not video.values["published"]:
        _publish(context, video, context.around.clock.now())
    return {"success": True}


def _delete(context: Context) -> object:
    page_token_only(context)
    world, video = context.world, context.named
    post = world.nodes.get(str(video.values.get("post_id")))
    if post is not None:
        world.remove(post)
    world.remove(video)
    return {"success": True}


def unfinished_video(world: World, page: Node, video_id: str, purpose: str) -> Node:
    """The video that an upload began. Raises: GraphError 100."""
    video = world.nodes.get(video_id)
    known = video is not None and video.kind == "video" and video.account == page.id
    if video is None or not known or video.values["purpose"] != purpose or is_finished(video):
        raise refusals.unknown_video(video_id)
    return video


OPERATIONS = (
    Operation("meta.page.create_video", "POST", "{page}/videos", _create, (GRAPH, GRAPH_VIDEO), scopes=SCOPES),
    Operation("meta.video.update", "POST", "{video}", _edit, scopes=SCOPES),
    Operation("meta.video.delete", "DELETE", "{video}", _delete, scopes=SCOPES),
)
