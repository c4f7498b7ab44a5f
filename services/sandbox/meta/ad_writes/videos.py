"""Videos of an ad account: given whole or by address, processed for a while, named by creatives (S).

`status` as of a page's video (O, marketing-api/advideo: `video_status` ready, processing, error).
"""

from collections.abc import Callable
from datetime import datetime

from services.sandbox.meta import inputs
from services.sandbox.meta.ad_writes.making import moment_in, now_of
from services.sandbox.meta.operations import GRAPH, Context, Operation
from services.sandbox.meta.publishing.media import is_reachable
from services.sandbox.meta.publishing.refusals import no_image
from services.sandbox.meta.publishing.videos import GRAPH_VIDEO, PROCESSING, status_of
from services.sandbox.meta.read_back import answer
from services.sandbox.meta.world import Node, World

SCOPES = ("ads_management",)


def _create(context: Context) -> object:
    """Nobody sees it but in an ad. An address that does not answer ends in the status `error` (O)."""
    account, params, world, now = context.named, context.params, context.world, now_of(context)
    file = next(iter(context.request.files.values()), None)
    url = inputs.text(params, "file_url")
    if not url and not (file and file.content):
        raise no_image("video")
    moment, video_id = moment_in(account, now), world.new_id("asset")
    values = {
        "id": video_id,
        "title": inputs.text(params, "title") or inputs.text(params, "name") or "",
        "description": inputs.text(params, "description"),
        "created_time": moment,
        "updated_time": moment,
        "length": 15.0,
        "published": False,
        "picture": f"https://scontent.example/ads/{video_id}.jpg",
        "source": f"https://scontent.example/ads/{video_id}.mp4",
        "status": status_of("processing", processing="in_progress"),
    }
    video = Node(video_id, "ad_video", account.id, values, now, now, (account.kind, account.id))
    world.create(video, listed_in=(account,), edge="advideos")
    world.agenda.at(now + PROCESSING, _end(world, video_id, works=not url or is_reachable(url)))
    return answer(context, video)


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


OPERATIONS = (
    Operation(
        "meta.ad_account.create_advideo", "POST", "{ad_account}/advideos", _create, (GRAPH, GRAPH_VIDEO), scopes=SCOPES
    ),
    Operation("meta.ad_video.delete", "DELETE", "{ad_video}", _delete, scopes=SCOPES),
)
