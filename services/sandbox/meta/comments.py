"""Comments below posts and media, and replies on Threads: as many as the post's days count, made when somebody looks.

Fields S (comment, ig_comment), O for replies. A page's comments are named `{post}_{comment}` (O samples of webhooks).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from typing import Any, Protocol, runtime_checkable

from services.sandbox.meta.dice import Dice, mix
from services.sandbox.meta.families import ID_STEP, Family
from services.sandbox.meta.node import Moment, Node, Ref
from services.sandbox.meta.world import World

MOST_PER_POST = 2_000
"""Ids are kept free for so many."""
MOST_COMMENTS = 1_980
"""The numbers from here on are for what else lies below a post."""
LATE_POSTS = 5_000
"""And for so many posts that are published after the start of the world."""
_NAMES = ("Mia Lindt", "Omar Said", "Jo Park", "Ana Prado", "Tom Weber", "Lea Roy", "Ken Ito", "Eva Novak")
_TEXTS = ("Lovely!", "When is it open?", "We were there last week.", "Can I order this?", "Great news", "Not for me")


@dataclass(slots=True, eq=False)
class CommentIds:
    """The ids of all comments below one account's posts: post and number within it by arithmetic."""

    world: World
    posts: Family
    base: int
    seed: int
    late: list[str] = field(default_factory=list)
    """Posts that came after the start of the world, in the order in which somebody looked at their comments."""

    def node_id(self, post_id: str, number: int) -> str:
        """`number`: from the oldest, 0."""
        slot = self._slot(post_id) * MOST_PER_POST + number
        digits = str(self.base + slot * ID_STEP + mix(self.seed, slot) % ID_STEP)
        return f"{post_id.rpartition('_')[2]}_{digits}" if self.posts.kind == "post" else digits

    def place_of(self, comment_id: str) -> tuple[str, int] | None:
        """The post and the number of a comment; None: no comment could have this id."""
        digits = comment_id.rpartition("_")[2]
        if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
            return None
        slot, number = divmod((int(digits) - self.base) // ID_STEP, MOST_PER_POST)
        index = self.posts.total - 1 - slot
        if 0 <= index < self.posts.total:
            post_id = self.posts.node_id(index)
        elif 0 <= slot - self.posts.total < len(self.late):
            post_id = self.late[slot - self.posts.total]
        else:
            return None
        return (post_id, number) if self.node_id(post_id, number) == comment_id else None

    def _slot(self, post_id: str) -> int:
        index = self.posts.index_of(post_id)
        if index is not None:
            return self.posts.total - 1 - index
        if post_id not in self.late:
            self.late.append(post_id)
        return self.posts.total + self.late.index(post_id)


@runtime_checkable
class MakesByNumber(Protocol):
    """A list whose rows are known by their numbers below the post."""

    def make(self, number: int) -> Node | None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Comments:
    """What a post's edge lists, the newest first."""

    ids_of: CommentIds
    post: Node
    days: Callable[[], Sequence[tuple[date, int]]]
    """How many were written on which day that is over."""

    def count(self, *, everything: bool) -> int:
        return min(sum(many for _, many in self.days()), MOST_COMMENTS)

    def ids(self, start: int, *, everything: bool) -> Iterator[str]:
        for number in reversed(range(self.count(everything=everything) - start)):
            yield self.ids_of.node_id(self.post.id, number)

    def position(self, node_id: str, *, everything: bool) -> int | None:
        place = self.ids_of.place_of(node_id)
        many = self.count(everything=everything)
        return many - 1 - place[1] if place and place[0] == self.post.id and place[1] < many else None

    def make(self, number: int) -> Node | None:
        """The comment of that number; None if it is not written yet."""
        before = 0
        for day, many in self.days():
            if number < before + many:
                created = _moment(self.post, day, (number - before, many), self.ids_of)
                return _node(self.ids_of, self.post, number, created)
            before += many
        return None


def comment_ids(world: World, posts: Family) -> CommentIds:
    """Make what lies below an account's posts known by its ids."""
    room = (posts.total + LATE_POSTS) * MOST_PER_POST * ID_STEP
    made = CommentIds(world, posts, world.reserve(posts.kind, room), world.random.getrandbits(63))
    comments = "replies" if posts.kind == "threads_post" else "comments"

    def find(node_id: str) -> Node | None:
        place = made.place_of(node_id)
        post = world.nodes.get(place[0]) if place else None
        if place is None or post is None:
            return None
        run = post.runs.get(comments if place[1] < MOST_COMMENTS else "children")
        return run.make(place[1]) if isinstance(run, MakesByNumber) else None

    world.nodes.ask(find)
    return made


def _moment(post: Node, day: date, place: tuple[int, int], ids: CommentIds) -> datetime:
    """One after the other within the day, and never before the post. `place`: which of how many."""
    zone = ids.world.series[post.account].zone
    begins = max(datetime.combine(day, clock_time(), zone), post.created_at)
    ends = datetime.combine(day + timedelta(days=1), clock_time(), zone)
    number, many = place
    share = (number + mix(ids.seed, number, day.toordinal()) % 1000 / 1000) / many
    return begins + timedelta(seconds=int((ends - begins).total_seconds() * share))


def _node(ids: CommentIds, post: Node, number: int, created: datetime) -> Node:
    node_id = ids.node_id(post.id, number)
    dice = Dice(ids.seed, number, int(post.id.rpartition("_")[2]))
    name, text = dice.choice(_NAMES), dice.choice(_TEXTS)
    person = str(24_000_000_000_000_000 + mix(ids.seed, dice.below(10**6)) % 10**15)
    kind, values = _shapes(post, name, text, person, Moment.at(created))
    return Node(node_id, kind, post.account, {"id": node_id, **values}, created, created, (post.kind, post.id))


def _shapes(post: Node, name: str, text: str, person: str, at: Moment) -> tuple[str, dict[str, Any]]:
    """Kind and fields of a comment on such a post."""
    username = name.replace(" ", ".").lower()
    if post.kind == "post":
        return "comment", {
            "message": text,
            "created_time": at,
            "from": {"id": person, "name": name},
            "like_count": 0,
            "comment_count": 0,
            "is_hidden": False,
            "can_remove": True,
            "can_hide": True,
            "permalink_url": f"{post.values.get('permalink_url')}?comment_id={person}",
        }
    if post.kind == "media":
        return "ig_comment", {
            "text": text,
            "timestamp": at,
            "username": username,
            "from": {"id": person, "username": username},
            "like_count": 0,
            "hidden": False,
            "media": Ref(post.id),
        }
    return "threads_post", {
        "media_product_type": "THREADS",
        "media_type": "TEXT_POST",
        "text": text,
        "timestamp": at,
        "username": username,
        "is_quote_post": False,
        "is_reply": True,
        "has_replies": False,
        "root_post": {"id": post.id},
        "replied_to": {"id": post.id},
        "hide_status": "NOT_HUSHED",
    }
