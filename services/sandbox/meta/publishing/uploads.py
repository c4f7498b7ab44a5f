"""Bytes on their way: to the upload host for reels, stories and Instagram containers, or into a handle for later.

Headers and answers O (video-api/guides/reels-publishing, graph-api/guides/upload); `ig-api-upload` T, the answer to
GET on a session M. Bytes are counted and thrown away.
"""

from typing import Any

from services.sandbox.meta import inputs
from services.sandbox.meta.errors import GraphError
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.publishing import refusals
from services.sandbox.meta.publishing.chunks import MAX_VIDEO_BYTES, is_finished
from services.sandbox.meta.publishing.containers import uploaded
from services.sandbox.meta.publishing.media import is_reachable
from services.sandbox.meta.publishing.videos import status_of
from services.sandbox.meta.world import Node

RUPLOAD = "rupload.facebook.com"
_DONE = {"success": True, "message": "Upload successful."}


def _to_video(context: Context) -> object:
    video = context.named
    if is_finished(video):
        raise refusals.unknown_video(video.id)
    complete = _receive(context, video)
    received = context.world.nodes[video.id].values["received"]
    status = status_of("upload_complete", transferred=received)
    if not complete:
        # Where to go on after a break (O).
        status = status_of("uploading", uploading="in_progress", transferred=received)
    context.world.change(video, {"status": status})
    return _DONE


def _to_container(context: Context) -> object:
    if _receive(context, context.named):
        uploaded(context, context.named)
    return _DONE


def _receive(context: Context, target: Node) -> bool:
    """Take bytes, or have them fetched from `file_url`; whether all are there now. Raises: GraphError."""
    headers = context.request.headers or {}
    url = headers.get("file_url")
    if url:
        if not is_reachable(url):
            raise refusals.media_unreachable(url)
        return True
    size = _header(headers.get("file_size"), target.values.get("expected"))
    offset = _header(headers.get("offset"), 0) or 0
    received = int(target.values.get("received") or 0)
    if size is None or not 0 < size <= MAX_VIDEO_BYTES:
        raise inputs.missing("file_size")
    if offset != received or offset + len(context.request.body) > size:
        raise refusals.wrong_offset(received)
    received += len(context.request.body)
    context.world.change(target, {"received": received, "expected": size})
    return received == size


def _header(value: str | None, default: Any) -> int | None:
    if value is None:
        return int(default) if default is not None else None
    if not value.isascii() or not value.isdigit() or len(value) > 15:
        raise GraphError(400, 100, "(#100) offset and file_size must be whole numbers")
    return int(value)


def _open(context: Context) -> object:
    """A session for bytes that a later call names by their handle (O)."""
    params, now = context.params, context.around.clock.now()
    size = inputs.whole(params, "file_length", least=1)
    if size is None:
        raise inputs.missing("file_length")
    inputs.required(params, "file_type")
    if size > MAX_VIDEO_BYTES:
        raise refusals.no_image("file")
    session_id = f"upload:{context.world.new_id('asset')}"
    values = {"id": session_id, "file_offset": 0, "expected": size, "received": 0, "handle": None}
    context.world.create(Node(session_id, "upload", context.named.id, values, now, now))
    return {"id": session_id}


def _continue(context: Context) -> object:
    """The handle once all bytes are there, else how far they came (M)."""
    session, headers = context.named, context.request.headers or {}
    received, size = int(session.values["received"]), int(session.values["expected"])
    offset = _header(headers.get("file_offset"), 0)
    if offset != received or received + len(context.request.body) > size:
        raise refusals.wrong_offset(received)
    received += len(context.request.body)
    handle = f"4:{session.id.removeprefix('upload:')}" if received == size else None
    context.world.change(session, {"received": received, "file_offset": received, "handle": handle})
    return {"h": handle} if handle else {"id": session.id, "file_offset": received}


def _progress(context: Context) -> object:
    return {"id": context.named.id, "file_offset": context.named.values["file_offset"]}


OPERATIONS = (
    Operation("meta.video.upload", "POST", "{video}/video-upload", _to_video, (RUPLOAD,)),
    Operation("meta.container.upload", "POST", "{container}/ig-api-upload", _to_container, (RUPLOAD,)),
    Operation("meta.application.open_upload", "POST", "{application}/uploads", _open),
    Operation("meta.upload.continue", "POST", "{upload}", _continue),
    Operation("meta.upload.progress", "GET", "{upload}", _progress),
)
