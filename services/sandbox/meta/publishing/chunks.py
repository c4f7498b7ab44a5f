"""Videos that come in chunks: begun, sent piece by piece, closed or given up; the same for pages and ad accounts.

Phases and parameters S (facebook-business 26, video_uploader and `create_video`); answers S as far as that reads them,
else M. The bytes are counted and thrown away.
"""

from collections.abc import Callable
from dataclasses import dataclass

from services.sandbox.meta import inputs
from services.sandbox.meta.operations import Context
from services.sandbox.meta.publishing import refusals
from services.sandbox.meta.world import Node

CHUNK_BYTES = 1024 * 1024  # M
MAX_VIDEO_BYTES = 10 * 1024**3  # O: 10 GB, graph-api/reference/page/videos
PHASES = ("start", "transfer", "finish", "cancel")  # S


@dataclass(frozen=True, slots=True)
class InChunks:
    """`begin` makes a video that nobody sees yet, of so many bytes; `close` is called when all of them are there.

    The video's values have `expected` and `received`, and a `status` of `uploading`.
    """

    begin: Callable[[Context, int], Node]
    close: Callable[[Context, Node], None]

    def run(self, context: Context, phase: str) -> object:
        """Raises: GraphError."""
        return {"start": self._start, "transfer": _transfer, "finish": self._finish, "cancel": _cancel}[phase](context)

    def _start(self, context: Context) -> object:
        size = inputs.whole(context.params, "file_size", least=1)
        if size is None:
            raise inputs.missing("file_size")
        if size > MAX_VIDEO_BYTES:
            raise refusals.no_image("video")
        video = self.begin(context, size)
        session_id = context.world.new_id("asset")
        now = context.around.clock.now()
        values = {"id": session_id, "video": video.id}
        context.world.create(Node(session_id, "upload", context.named.id, values, now, now))
        return {"upload_session_id": session_id, "video_id": video.id, **_next_chunk(0, size)}

    def _finish(self, context: Context) -> object:
        video = _video_of_session(context)
        if video.values["received"] != video.values["expected"]:
            raise refusals.upload_unfinished()
        self.close(context, video)
        return {"success": True}


def is_finished(video: Node) -> bool:
    """Whether its upload was closed: then it is on its way."""
    return str(video.values["status"]["video_status"]) not in {"uploading", "upload_complete", "upload_failed"}


def _transfer(context: Context) -> object:
    video = _video_of_session(context)
    received, size = video.values["received"], video.values["expected"]
    if inputs.whole(context.params, "start_offset", least=0) != received:
        raise refusals.wrong_offset(received)
    chunk = next(iter(context.request.files.values()), None)
    content = chunk.content if chunk else context.params.get("video_file_chunk", "").encode()
    if not content or received + len(content) > size:
        raise refusals.no_image("video chunk")
    received += len(content)
    context.world.change(video, {"received": received})
    return _next_chunk(received, size)


def _cancel(context: Context) -> object:
    context.world.remove(_video_of_session(context))
    return {"success": True}


def _video_of_session(context: Context) -> Node:
    session_id = inputs.required(context.params, "upload_session_id")
    session = context.world.nodes.get(session_id)
    video = context.world.nodes.get(str(session.values.get("video"))) if session and session.kind == "upload" else None
    if video is None or video.account != context.named.id or is_finished(video):
        raise refusals.unknown_video(session_id)
    return video


def _next_chunk(received: int, size: int) -> dict[str, str]:
    """Offsets are texts, and equal at the end (S: the SDK reads them as numbers and ends when they are equal)."""
    return {"start_offset": str(received), "end_offset": str(min(received + CHUNK_BYTES, size))}
