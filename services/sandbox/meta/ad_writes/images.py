"""Images of an ad account: uploaded, listed, deleted. They are named by a hash of their bytes.

Calls and parameters S; the shape of the answer O (marketing-api/reference/ad-account/adimages).
"""

import base64
import binascii
import hashlib
from typing import Any

from services.sandbox.meta import inputs
from services.sandbox.meta.ad_writes import refusals
from services.sandbox.meta.ad_writes.making import moment_in, now_of
from services.sandbox.meta.listing import NotCovered
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.world import Node

SCOPES = ("ads_management",)
MAX_IMAGE_BYTES = 30 * 1024 * 1024  # O, marketing-api/reference/ad-image


def _upload(context: Context) -> object:
    """`images` by the name of each file, or `bytes` for the parameter of that name."""
    if "copy_from" in context.params:
        raise NotCovered("parameter copy_from")
    given = {file.filename or name: file.content for name, file in context.request.files.items()}
    if not given and "bytes" in context.params:
        given["bytes"] = _decoded(context.params["bytes"])
    if not given:
        raise inputs.missing("bytes")
    if any(not content or len(content) > MAX_IMAGE_BYTES for content in given.values()):
        raise refusals.invalid("Image can't be read", "The image is empty or too large.", "bytes")
    images = {name: _keep(context, name, content) for name, content in given.items()}
    return {"images": {name: _shown(image) for name, image in images.items()}}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise refusals.invalid("Image can't be read", "The bytes are not base64.", "bytes") from error


def _keep(context: Context, name: str, content: bytes) -> Node:
    """The same bytes are the same image (O)."""
    account, world, now = context.named, context.world, now_of(context)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    image_id = f"{account.values['account_id']}:{digest}"
    known = world.nodes.get(image_id)
    if known is not None:
        return known
    moment = moment_in(account, now)
    values: dict[str, Any] = {
        "id": image_id,
        "account_id": account.values["account_id"],
        "hash": digest,
        "name": name,
        "status": "ACTIVE",
        "url": f"https://scontent.example/ads/{digest}.jpg",
        "url_128": f"https://scontent.example/ads/{digest}_128.jpg",
        "permalink_url": f"https://www.facebook.com/ads/image/?d={digest}",
        "width": 1080,
        "height": 1080,
        "original_width": 1080,
        "original_height": 1080,
        "created_time": moment,
        "updated_time": moment,
    }
    image = Node(image_id, "adimage", account.id, values, now, now, (account.kind, account.id))
    return world.create(image, listed_in=(account,), edge="adimages")


def _shown(image: Node) -> dict[str, Any]:
    return {name: image.values[name] for name in ("hash", "url", "url_128", "name", "width", "height")}


def _list(context: Context) -> object:
    account, params = context.named, context.params
    hashes, name = inputs.texts(params, "hashes"), inputs.text(params, "name")
    rows = [
        image
        for image in context.world.shown(account, "adimages", as_of=context.reader.as_of)
        if (hashes is None or image.values["hash"] in hashes) and (name is None or name in str(image.values["name"]))
    ]
    return context.reader.rows(account, "adimages", "adimage", rows, params)


def _delete(context: Context) -> object:
    digest = inputs.required(context.params, "hash")
    image = context.world.nodes.get(f"{context.named.values['account_id']}:{digest}")
    if image is None:
        raise refusals.unknown_parent("hash", digest)
    context.world.remove(image)
    return {"success": True}


OPERATIONS = (
    Operation("meta.ad_account.create_adimage", "POST", "{ad_account}/adimages", _upload, scopes=SCOPES),
    Operation("meta.ad_account.adimages", "GET", "{ad_account}/adimages", _list),
    Operation("meta.ad_account.delete_adimage", "DELETE", "{ad_account}/adimages", _delete, scopes=SCOPES),
)
