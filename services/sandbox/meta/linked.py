"""What one product tells of an account of another one: the Threads profile of an Instagram account."""

from services.sandbox.meta.errors import unknown_field
from services.sandbox.meta.fields import parse_fields
from services.sandbox.meta.operations import Context, Operation

_FIELDS = {"threads_user_id": "id", "threads_user_profile_pic": "threads_profile_picture_url"}


def _threads_of_instagram(context: Context) -> object:
    """Number and picture only (S, ThreadsUser): everything else needs the profile's own token, on its own host (O)."""
    text = context.params.get("fields", "").strip()
    asked = [each.name for each in parse_fields(text)] if text else ["threads_user_id"]
    for name in asked:
        if name != "id" and name not in _FIELDS:
            raise unknown_field(name, "ThreadsUser")
    rows = []
    for profile in context.world.shown(context.named, "connected_threads_user", as_of=context.reader.as_of):
        values = {name: profile.values.get(source) for name, source in _FIELDS.items() if name in asked}
        rows.append({**values, "id": profile.id})
    return {"data": rows}


OPERATIONS = (
    Operation(
        "meta.instagram.connected_threads_user", "GET", "{instagram}/connected_threads_user", _threads_of_instagram
    ),
)
