"""Comments written in the name of a page or an Instagram account: made, changed, hidden, deleted.

Calls and parameters S; permissions O (permissions reference). A comment on a page's post is named
`{post}_{comment}` (O).
"""

from typing import Any

from services.sandbox.meta import inputs
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.publishing.instagram import COMMENT_SCOPES, HOSTS
from services.sandbox.meta.publishing.posts import page_token_only, read_message
from services.sandbox.meta.read_back import answer
from services.sandbox.meta.world import Moment, Node, Ref

PAGE_SCOPES = ("pages_manage_engagement",)


def _on_page(context: Context) -> object:
    """On a post, or as a reply on a comment, which then counts one more."""
    page_token_only(context)
    above, world, now = context.named, context.world, context.around.clock.now()
    message = read_message(context)
    if not message and not inputs.text(context.params, "attachment_url"):
        raise inputs.missing("message")
    page = world.nodes[above.account]
    comment_id = f"{above.id.split('_')[-1]}_{world.new_id('post')}"
    values: dict[str, Any] = {
        "id": comment_id,
        "message": message,
        "created_time": Moment.fromtimestamp(int(now.timestamp()), now.tzinfo),
        "from": Ref(page.id),
        "like_count": 0,
        "comment_count": 0,
        "is_hidden": False,
        "can_remove": True,
        "can_hide": False,
        "permalink_url": f"https://www.facebook.com/{comment_id}",
        "application": {"id": context.token.app.id, "name": context.token.app.name},
    }
    node = Node(comment_id, "comment", page.id, values, now, now, (above.kind, above.id))
    made = world.create(node, listed_in=(above,), edge="comments")
    if above.kind == "comment":
        world.change(above, {"comment_count": int(above.values.get("comment_count") or 0) + 1})
    return answer(context, made)


def _edit_on_page(context: Context) -> object:
    page_token_only(context)
    values: dict[str, Any] = {}
    if "message" in context.params:
        values["message"] = read_message(context)
    hidden = inputs.flag(context.params, "is_hidden")
    if hidden is not None:
        values["is_hidden"] = hidden
    if values:
        context.world.change(context.named, values)
    return {"success": True}


def _on_instagram(context: Context) -> object:
    above, world, now = context.named, context.world, context.around.clock.now()
    text = inputs.required(context.params, "message")
    owner = world.nodes[above.account]
    comment_id = world.new_id("media")
    media = above.id if above.kind == "media" else str(above.values["media"])
    values: dict[str, Any] = {
        "id": comment_id,
        "text": text,
        "timestamp": Moment.fromtimestamp(int(now.timestamp()), now.tzinfo),
        "username": owner.values.get("username"),
        "from": {"id": owner.id, "username": owner.values.get("username")},
        "like_count": 0,
        "hidden": False,
        "media": Ref(media),
    }
    if above.kind == "ig_comment":
        values["parent_id"] = above.id
    node = Node(comment_id, "ig_comment", owner.id, values, now, now, (above.kind, above.id))
    edge = "replies" if above.kind == "ig_comment" else "comments"
    return answer(context, world.create(node, listed_in=(above,), edge=edge))


def _hide_on_instagram(context: Context) -> object:
    hidden = inputs.flag(context.params, "hide")
    if hidden is None:
        raise inputs.missing("hide")
    context.world.change(context.named, {"hidden": hidden})
    return {"success": True}


def _delete(context: Context) -> object:
    if context.named.kind == "comment":
        page_token_only(context)
    context.world.remove(context.named)
    return {"success": True}


OPERATIONS = (
    *(
        Operation(f"meta.{kind}.create_comment", "POST", f"{{{kind}}}/comments", _on_page, scopes=PAGE_SCOPES)
        for kind in ("post", "comment")
    ),
    Operation("meta.comment.update", "POST", "{comment}", _edit_on_page, scopes=PAGE_SCOPES),
    Operation("meta.comment.delete", "DELETE", "{comment}", _delete, scopes=PAGE_SCOPES),
    Operation("meta.media.create_comment", "POST", "{media}/comments", _on_instagram, HOSTS, scopes=COMMENT_SCOPES),
    Operation("meta.ig_comment.reply", "POST", "{ig_comment}/replies", _on_instagram, HOSTS, scopes=COMMENT_SCOPES),
    Operation("meta.ig_comment.update", "POST", "{ig_comment}", _hide_on_instagram, HOSTS, scopes=COMMENT_SCOPES),
    Operation("meta.ig_comment.delete", "DELETE", "{ig_comment}", _delete, HOSTS, scopes=COMMENT_SCOPES),
)
