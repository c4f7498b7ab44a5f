"""Stories of pages, listed: photos and videos that are shown for a day.

Fields and statuses O (page-stories-api); an active story becomes an archived one after 24 hours (O).
"""

from datetime import timedelta
from typing import Any

from services.sandbox.meta import inputs
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.world import Node, World

EDGE = "stories"
LIFE = timedelta(hours=24)  # O
STATUSES = ("ARCHIVED", "PUBLISHED")  # O


def list_story(world: World, page: Node, post: Node, medium: Node) -> None:
    world.change(post, {"story_medium": {"media_type": medium.kind, "media_id": medium.id}})
    world.enlist(post, page, EDGE)


def _list(context: Context) -> object:
    """The newest first, all at once (M): a page has few."""
    wanted = inputs.choice(context.params, "status", STATUSES)
    rows = [_shown(context, post) for post in context.world.listed(context.named, EDGE, as_of=context.reader.as_of)]
    return {"data": [row for row in rows if wanted in {None, row["status"]}]}


def _shown(context: Context, post: Node) -> dict[str, Any]:
    over = context.around.clock.now() - post.created_at >= LIFE
    return {
        "post_id": post.id,
        "status": "ARCHIVED" if over else "PUBLISHED",
        "creation_time": str(int(post.created_at.timestamp())),
        **post.values["story_medium"],
        "url": f"https://www.facebook.com/stories/{post.account}/{post.id.partition('_')[2]}",
    }


OPERATIONS = (Operation("meta.page.stories", "GET", f"{{page}}/{EDGE}", _list),)
