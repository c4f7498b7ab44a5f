"""Pictures and videos inside a carousel of Instagram or Threads (O, ig-media/children; threads/reference/media).

They have no captions, counters, comments or insights of their own (O).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from services.sandbox.meta.comments import MOST_COMMENTS, CommentIds
from services.sandbox.meta.dice import Dice
from services.sandbox.meta.node import Node

MEDIA_TYPES = ("IMAGE", "IMAGE", "VIDEO")


@dataclass(frozen=True, slots=True, eq=False)
class Carousel:
    """What the edge `children` lists, in the order in which it is shown. `many`: 2 to 10."""

    ids_of: CommentIds
    post: Node
    many: int

    def count(self, *, everything: bool) -> int:
        return self.many

    def ids(self, start: int, *, everything: bool) -> Iterator[str]:
        for place in range(start, self.many):
            yield self.ids_of.node_id(self.post.id, MOST_COMMENTS + place)

    def position(self, node_id: str, *, everything: bool) -> int | None:
        found = self.ids_of.place_of(node_id)
        if not found or found[0] != self.post.id or not 0 <= found[1] - MOST_COMMENTS < self.many:
            return None
        return found[1] - MOST_COMMENTS

    def make(self, number: int) -> Node | None:
        """The child of that number; numbers begin behind those of comments."""
        if not 0 <= number - MOST_COMMENTS < self.many:
            return None
        post = self.post
        node_id = self.ids_of.node_id(self.post.id, number)
        media_type = Dice(self.ids_of.seed, number, int(post.id)).choice(MEDIA_TYPES)
        values = {
            "id": node_id,
            "media_type": media_type,
            "media_url": f"https://scontent.example/{node_id}.{'mp4' if media_type == 'VIDEO' else 'jpg'}",
            "timestamp": post.values["timestamp"],
            "permalink": post.values["permalink"],
            "shortcode": post.values["shortcode"],
            "username": post.values["username"],
            "owner": post.values["owner"],
        }
        if media_type == "VIDEO":
            values["thumbnail_url"] = f"https://scontent.example/{node_id}.jpg"
        return Node(node_id, post.kind, post.account, values, post.created_at, post.created_at, (post.kind, post.id))
