"""Posts of pages, media of Instagram accounts, posts of Threads profiles, and the comments below them.

Fields S (pages and Instagram), O for Threads (retrieve-and-discover-posts). Counters are the sums of the days that are
over (`statistics.py`), and as many comments are listed as the counter says.
"""

from collections.abc import Callable
from datetime import UTC, date
from functools import partial
from typing import Any

from services.sandbox.meta import statistics
from services.sandbox.meta.carousels import Carousel
from services.sandbox.meta.comments import Comments, comment_ids
from services.sandbox.meta.dice import Dice
from services.sandbox.meta.families import ID_STEP, Family, whole
from services.sandbox.meta.node import Late, Moment, Node, Ref
from services.sandbox.meta.series import Series
from services.sandbox.meta.statistics import Numbers
from services.sandbox.meta.world import World

_THINGS = ("Harbour", "Orchard", "Kiln", "Lantern", "Meadow", "Foundry", "Atlas", "Juniper")
_MEDIA = (("IMAGE", "FEED"), ("IMAGE", "FEED"), ("CAROUSEL_ALBUM", "FEED"), ("VIDEO", "REELS"))
_THREADS = ("TEXT_POST", "TEXT_POST", "TEXT_POST", "IMAGE", "VIDEO", "CAROUSEL_ALBUM")
_LINKS_PERCENT = 30
_PHOTO_EVERY, _PHOTO_AT = 5, 2
"""Which posts of a page show a photo."""
_LARGEST_CAROUSEL = 10  # O for Instagram; Threads takes up to 20 (O)


def fill_page(world: World, page: Node, posts: int) -> Family:
    """Posts are named `{page}_{post}` (O)."""

    def make(index: int) -> Node:
        dice, node = Dice(family.seed, index), _node(world, family, index, page)
        number = family.total - index
        updated = family.updated_at(index)
        node.updated_at = updated
        node.values |= {
            "message": f"News {number} from {page.values['name']}: {dice.choice(_THINGS)} is here",
            "created_time": Moment.at(node.created_at),
            "updated_time": Moment.at(updated),
            "from": Ref(page.id),
            "permalink_url": f"https://www.facebook.com/{node.id.replace('_', '/posts/')}",
            "is_published": True,
            "is_hidden": False,
            "status_type": "mobile_status_update",
        }
        if index % _PHOTO_EVERY == _PHOTO_AT:
            _show_photo(node, photos.node_id(index // _PHOTO_EVERY))
        elif dice.chance(_LINKS_PERCENT):
            link = f"{page.values['website']}news/{number}"
            shared = {
                "media_type": "link",
                "type": "share",
                "url": link,
                "unshimmed_url": link,
                "title": f"News {number}",
            }
            node.values |= {"status_type": "shared_story", "linked": link, "attached": [shared]}
        count_post(world, node)
        return node

    def make_photo(index: int) -> Node:
        # As the post was at the start: the photo stays when the post goes.
        return _photo(make(index * _PHOTO_EVERY + _PHOTO_AT), photos.node_id(index))

    family = _family(world, "post", page, posts, "post", f"{page.id}_", make)
    many = len(range(_PHOTO_AT, posts, _PHOTO_EVERY))
    photos = _family(world, "photo", page, many, "asset", "", make_photo)
    page.runs["photos"] = whole(photos)
    for edge in ("feed", "posts", "published_posts"):
        page.runs[edge] = whole(family)
    _count_days(world, family, page)
    return family


def _show_photo(post: Node, photo_id: str) -> None:
    link = f"https://www.facebook.com/photo/?fbid={photo_id}"
    target = {"id": photo_id, "url": link}
    post.values |= {
        "status_type": "added_photos",
        "full_picture": f"https://scontent.xx.fbcdn.net/v/{photo_id}_o.jpg",
        "attached": [{"media_type": "photo", "type": "photo", "target": target, "url": link}],
    }


def _photo(post: Node, photo_id: str) -> Node:
    """The photo of a post, which it was published with."""
    source = f"https://scontent.xx.fbcdn.net/v/{photo_id}_o.jpg"
    values = {
        "id": photo_id,
        "name": post.values["message"],
        "created_time": post.values["created_time"],
        "updated_time": post.values["created_time"],
        "link": f"https://www.facebook.com/photo/?fbid={photo_id}",
        "picture": f"https://scontent.xx.fbcdn.net/v/{photo_id}_s.jpg",
        "images": [{"width": 1080, "height": 1080, "source": source}],
        "width": 1080,
        "height": 1080,
        "from": post.values["from"],
        "page_story_id": post.id,
        "is_posted": True,
    }
    return Node(photo_id, "photo", post.account, values, post.created_at, post.created_at, ("page", post.account))


def fill_instagram(world: World, account: Node, media: int) -> Family:
    """Images, albums and reels."""

    def make(index: int) -> Node:
        dice, node = Dice(family.seed, index), _node(world, family, index, account)
        number = family.total - index
        media_type, product = dice.choice(_MEDIA)
        shortcode = f"C{int(node.id):x}"
        path = "reel" if product == "REELS" else "p"
        node.values |= {
            "caption": f"Picture {number} of {account.values['name']}",
            "media_type": media_type,
            "media_product_type": product,
            "media_url": f"https://scontent.example/{node.id}.{'mp4' if product == 'REELS' else 'jpg'}",
            "timestamp": Moment.at(node.created_at),
            "shortcode": shortcode,
            "permalink": f"https://www.instagram.com/{path}/{shortcode}/",
            "username": account.values["username"],
            "owner": Ref(account.id),
            "is_comment_enabled": True,
        }
        if media_type == "VIDEO":
            node.values["thumbnail_url"] = f"https://scontent.example/{node.id}.jpg"
        _fill_carousel(world, node, dice)
        count_media(world, node)
        return node

    family = _family(world, "media", account, media, "media", "", make)
    account.runs["media"] = whole(family)
    _count_days(world, family, account)
    return family


def fill_threads(world: World, profile: Node, posts: int) -> Family:
    """Texts, pictures and videos."""

    def make(index: int) -> Node:
        dice, node = Dice(family.seed, index), _node(world, family, index, profile)
        media_type = dice.choice(_THREADS)
        shortcode = f"D{int(node.id):x}"
        node.values |= {
            "media_product_type": "THREADS",
            "media_type": media_type,
            "text": f"Thought {family.total - index}: {dice.choice(_THINGS)}",
            "timestamp": Moment.at(node.created_at),
            "shortcode": shortcode,
            "permalink": f"https://www.threads.net/@{profile.values['username']}/post/{shortcode}",
            "username": profile.values["username"],
            "owner": {"id": profile.id},
            "is_quote_post": False,
            "is_reply": False,
        }
        if media_type != "TEXT_POST":
            node.values["media_url"] = f"https://scontent.example/{node.id}"
        _fill_carousel(world, node, dice)
        count_thread(world, node)
        return node

    family = _family(world, "threads_post", profile, posts, "threads_post", "", make)
    profile.runs["threads"] = whole(family)
    _count_days(world, family, profile)
    return family


def _fill_carousel(world: World, node: Node, dice: Dice) -> None:
    if node.values["media_type"] == "CAROUSEL_ALBUM":
        many = dice.between(2, _LARGEST_CAROUSEL)
        node.runs["children"] = Carousel(world.comment_ids[node.account], node, many)


def count_post(world: World, node: Node) -> None:
    """Give a page's post its counters and its comments; also one that was published after the start."""
    lifetime = _Lifetime(world, node, "comments")
    node.counters = lambda: lifetime.totals("views", "likes", "comments", "shares")
    node.values["shares"] = Late(lifetime.shares)


def count_media(world: World, node: Node) -> None:
    """The same for a medium of Instagram."""
    lifetime = _Lifetime(world, node, "comments")
    node.counters = lambda: lifetime.totals("views", "likes", "comments", "shares", "saves")
    for name, counter in (
        ("like_count", "likes"), ("comments_count", "comments"), ("view_count", "views"), ("saved_count", "saves"),
        ("shares_count", "shares"), ("reposts_count", "reposts"),
    ):  # fmt: skip
        node.values[name] = Late(partial(lifetime.number, counter))


def count_thread(world: World, node: Node) -> None:
    """The same for a post of Threads, whose comments are replies."""
    lifetime = _Lifetime(world, node, "replies")
    node.counters = lambda: lifetime.totals("views", "likes", "comments", "shares")
    node.values["has_replies"] = Late(lambda: lifetime.number("comments") > 0)


class _Lifetime:
    """The sum of a post's days, and what was written below it since the start of the world."""

    def __init__(self, world: World, node: Node, edge: str) -> None:
        self._world = world
        self._node = node
        self._edge = edge
        self._sum = Numbers()
        self._comments: tuple[tuple[date, int], ...] = ()
        self._ended: date | None = None
        """The last day of the sum, which holds until the next one is over."""
        node.runs[edge] = Comments(world.comment_ids[node.account], node, self.comments)

    def comments(self) -> tuple[tuple[date, int], ...]:
        """How many were written on which day that is over."""
        self._add_up()
        return self._comments

    def number(self, counter: str) -> int:
        self._add_up()
        edge = {"comments": self._edge, "likes": "likes"}.get(counter, "")
        written = self._node.edges.get(edge, ())
        return int(getattr(self._sum, counter)) + len(written)

    def _add_up(self) -> None:
        ended = self._world.series[self._node.account].yesterday()
        if self._ended != ended:
            self._sum, self._comments = statistics.lifetime_sum(self._world, self._node)
            self._ended = ended

    def totals(self, *counters: str) -> dict[str, int]:
        return {counter: self.number(counter) for counter in counters}

    def shares(self) -> dict[str, Any] | None:
        """The field is missing as long as nobody has shared (T)."""
        shares = self.number("shares")
        return {"count": shares} if shares else None


def _family(
    world: World, kind: str, owner: Node, shown: int, series: str, prefix: str, make: Callable[[int], Node]
) -> Family:
    family = Family(
        kind=kind,
        owner=owner.id,
        shown=shown,
        seed=world.random.getrandbits(63),
        start=world.start,
        newest_days=0.3,
        # A few posts are all of the last weeks, so that they still bring numbers.
        oldest_days=min(300, 8 * shown),
        base=world.reserve(series, shown * ID_STEP),
        prefix=prefix,
        make=make,
    )
    return world.nodes.found(family)


def _node(world: World, family: Family, index: int, owner: Node) -> Node:
    created = family.created_at(index)
    node_id = family.node_id(index)
    return Node(node_id, family.kind, owner.id, {"id": node_id}, created, created, (owner.kind, owner.id))


def _count_days(world: World, family: Family, owner: Node) -> None:
    """Days of pages and profiles are those of UTC here; their insights have no zone to choose (M)."""
    seed = world.random.getrandbits(63)
    world.series[owner.id] = Series("posts", family, seed, UTC, world.clock.now, 40, 160)
    world.comment_ids[owner.id] = comment_ids(world, family)
