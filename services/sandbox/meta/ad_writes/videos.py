"""Videos of an ad account: given whole, by address or in chunks, processed for a while, named by creatives (S).

`status` as of a page's video (O, marketing-api/advideo: `video_status` ready, processing, error).
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from services.sandbox.meta import inputs
from services.sandbox.meta.ad_writes.making import moment_in, now_of
from services.sandbox.meta.operations import GRAPH, Context, Operation
from services.sandbox.meta.publishing.chunks import PHASES, InChunks
from services.sandbox.meta.publishing.media import is_reachable
from services.sandbox.meta.publishing.refusals import no_image
from services.sandbox.meta.publishing.videos import GRAPH_VIDEO, PROCESSING, status_of
from services.sandbox.meta.read_back import answer
from services.sandbox.meta.world import Node, World

SCOPES = ("ads_management",)
_IN_PROCESS = status_of("processing", processing="in_progress")


def _create(context: Context) -> object:
    """Nobody sees it but in an ad. An address that does not answer ends in the status `error` (O)."""
    phase = inputs.choice(context.params, "upload_phase", PHASES)
    if phase is not None:
        return _IN_CHUNKS.run(context, phase)
    file = next(iter(context.request.files.values()), None)
    url = inputs.text(context.params, "file_url")
    if not url and not (file and file.content):
        raise no_image("video")
    video = _new_video(context, {"status": _IN_PROCESS})
    _process(context, video, works=not url or is_reachable(url))
    return answer(context, video)


def _new_video(context: Context, more: Mapping[str, Any]) -> Node:
    account, now = context.named, now_of(context)
    moment, video_id = moment_in(account, now), context.world.new_id("asset")
    values = {
        "id": video_id,
        **_described(context),
        "created_time": moment,
        "updated_time": moment,
        "length": 15.0,
        "published": False,
        "picture": f"https://scontent.example/ads/{video_id}.jpg",
        "source": f"https://scontent.example/ads/{video_id}.mp4",
        **more,
    }
    video = Node(video_id, "ad_video", account.id, values, now, now, (account.kind, account.id))
    return context.world.create(video, listed_in=(account,), edge="advideos")


def _described(context: Context) -> dict[str, str | None]:
    title = inputs.text(context.params, "title") or inputs.text(context.params, "name") or ""
    return {"title": title, "description": inputs.text(context.params, "description")}


def _process(context: Context, video: Node, *, works: bool) -> None:
    context.world.agenda.at(now_of(context) + PROCESSING, _end(context.world, video.id, works=works))


def _begin(context: Context, size: int) -> Node:
    status = status_of("uploading", uploading="in_progress")
    return _new_video(context, {"status": status, "expected": size, "received": 0})


def _close(context: Context, video: Node) -> None:
    video = context.world.change(video, {**_described(context), "status": _IN_PROCESS})
    _process(context, video, works=True)


def _end(world: World, video_id: str, *, works: bool) -> Callable[[datetime], None]:
    def act(_: datetime) -> None:
        video = world.nodes.get(video_id)
        if video is not None:
            ended = "complete" if works else "error"
            world.change(video, {"status": status_of("ready" if works else "error", processing=ended)})

    return act


def _delete(context: Context) -> object:
    context.world.remove(context.named)
    return {"success": True}


_IN_CHUNKS = InChunks(_begin, _close)

OPERATIONS = (
    Operation(
        "meta.ad_account.create_advideo", "POST", "{ad_account}/advideos", _create, (GRAPH, GRAPH_VIDEO), scopes=SCOPES
    ),
    Operation("meta.ad_video.delete", "DELETE", "{ad_video}", _delete, scopes=SCOPES),
)
