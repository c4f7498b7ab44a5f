"""Pictures of pages and people: `/{id}/picture`, and `picture` inside `fields`.

A redirect to the picture, or its address as JSON with `redirect=false`; types and their sizes O
(reference/page/picture, reference/user/picture); the address itself is made up.
"""

from collections.abc import Mapping
from typing import Any

from services.sandbox.exchange import Answer
from services.sandbox.meta.errors import bad_parameter, unknown_field
from services.sandbox.meta.fields import parse_fields
from services.sandbox.meta.inputs import choice, flag, whole
from services.sandbox.meta.operations import Context, Operation

PIXELS: Mapping[str, int] = {"small": 50, "normal": 100, "album": 50, "large": 200, "square": 50}
MAX_PIXELS = 2048


def _picture(context: Context) -> object:
    node, params = context.named, context.params
    kind = choice(params, "type", PIXELS) or "square"
    width = whole(params, "width", least=1) or whole(params, "height", least=1) or PIXELS[kind]
    height = whole(params, "height", least=1) or width
    if max(width, height) > MAX_PIXELS:
        raise bad_parameter(f"Param width must be at most {MAX_PIXELS}")  # M
    url = f"https://scontent.xx.fbcdn.net/v/t39.30808-1/{node.id}_{width}x{height}.jpg"
    # Inside `fields` there is nobody to redirect.
    if context.nested or flag(params, "redirect") is False:
        data: dict[str, Any] = {"height": height, "is_silhouette": False, "url": url, "width": width}
        asked = [each.name for each in parse_fields(params["fields"])] if params.get("fields") else list(data)
        for name in asked:
            if name not in data:
                raise unknown_field(name, "ProfilePictureSource")
        return {"data": {name: data[name] for name in asked}}
    return Answer(302, b"", [("Location", url)], content_type="image/jpeg")


OPERATIONS = (
    Operation("meta.page.picture", "GET", "{page}/picture", _picture),
    Operation("meta.user.picture", "GET", "{user}/picture", _picture),
    Operation("meta.business.picture", "GET", "{business}/picture", _picture),
)
