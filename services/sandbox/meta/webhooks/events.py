"""What a write to the world is to those who subscribed: which object and field hear of it, and in which words.

Values as in the samples of the documents (O), completed from the field list of "Webhooks reference, page" (O via T).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from services.sandbox.meta.ad_objects import effective_status
from services.sandbox.meta.world import Late, Node, World


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an account."""

    object: str
    account: Node
    field: str
    value: Mapping[str, Any]


_ITEMS = {"added_photos": "photo", "added_video": "video", "shared_story": "share"}
"""`status_type` of a post (S) -> `item` of a change; every other: status."""
_LEVELS = {"campaign": "CAMPAIGN", "adset": "AD_SET", "ad": "AD", "adcreative": "CREATIVE"}  # O
_MOST_BELOW = 1_000
_VIDEO_ENDS = frozenset({"ready", "upload_failed", "error", "expired"})
_MENTION = re.compile(r"@([A-Za-z0-9._]{1,30})")
_IN_PROCESS = frozenset({"IN_PROCESS", "PENDING_REVIEW"})
"""That a review counts as processing is M."""


def events_of(world: World, kind_of_write: str, node: Node, before: Node | None, now: datetime) -> Iterator[Event]:
    """`before`: the object before a change or removal. Objects that nobody can subscribe to give nothing."""
    reader = _READERS.get(node.kind)
    account = world.nodes.get(node.account)
    if reader is not None and account is not None:
        yield from reader(_Write(world, kind_of_write, node, before, account, now))


@dataclass(frozen=True, slots=True)
class _Write:
    world: World
    kind: str
    node: Node
    before: Node | None
    account: Node
    now: datetime

    @property
    def unix(self) -> int:
        return int(self.now.timestamp())

    def changed(self, name: str) -> bool:
        return self.before is not None and self.before.values.get(name) != self.node.values.get(name)


def _post(write: _Write) -> Iterator[Event]:
    """`feed`: what is planned is told as unpublished, and once more when it goes out (T)."""
    node, values = write.node, write.node.values
    about = {
        "from": _person(write.account),
        "item": _ITEMS.get(str(values.get("status_type")), "status"),
        "post_id": node.id,
        "created_time": _unix(values.get("created_time")),
    }
    if write.kind == "remove":
        yield Event("page", write.account, "feed", {**about, "verb": "remove", "created_time": write.unix})
        return
    shown = {**about, "published": 1 if values.get("is_published") else 0, **_content(values)}
    went_out = write.changed("is_published") and values.get("is_published")
    if write.kind == "create" or went_out:
        yield Event("page", write.account, "feed", {**shown, "verb": "add"})
    elif write.changed("is_hidden"):
        yield Event("page", write.account, "feed", {**shown, "verb": "hide" if values.get("is_hidden") else "unhide"})
    elif write.changed("message"):
        yield Event("page", write.account, "feed", {**shown, "verb": "edited", "edited_time": write.unix})


def _content(values: Mapping[str, Any]) -> dict[str, Any]:
    """Text, link and pictures of a post; several photos are told as a status with all of their addresses (M)."""
    shown: dict[str, Any] = {}
    if values.get("message"):
        shown["message"] = values["message"]
    if values.get("linked"):
        shown["link"] = values["linked"]
    pictures = _pictures(values)
    if len(pictures) > 1:
        shown |= {"item": "status", "photos": [picture["target"].get("url", "") for picture in pictures]}
    elif pictures:
        target = pictures[0]["target"]
        shown[f"{pictures[0]['media_type']}_id"] = target.get("id")
        if target.get("url"):
            shown.setdefault("link", target["url"])
    return shown


def _pictures(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    attached = values.get("attached")
    media = [medium for medium in attached if isinstance(medium, Mapping)] if isinstance(attached, list) else []
    return [
        medium
        for medium in media
        if medium.get("media_type") in {"photo", "video"} and isinstance(medium.get("target"), Mapping)
    ]


def _comment(write: _Write) -> Iterator[Event]:
    """A comment below a page's post: `feed` too."""
    node, values = write.node, write.node.values
    above = node.parent[1] if node.parent else ""
    post = _post_above(write.world, node)
    about = {
        "from": _plain(values.get("from")) or _person(write.account),
        "item": "comment",
        "comment_id": node.id,
        "post_id": post.id if post else above,
        "parent_id": above,
        "created_time": _unix(values.get("created_time")),
    }
    if post is not None:
        about["post"] = {
            "id": post.id,
            "status_type": post.values.get("status_type"),
            "is_published": bool(post.values.get("is_published")),
            "permalink_url": post.values.get("permalink_url"),
            "updated_time": _text(post.values.get("updated_time")),
        }
    message = {"message": values["message"]} if values.get("message") else {}
    if write.kind == "remove":
        yield Event("page", write.account, "feed", {**about, "verb": "remove", "created_time": write.unix})
    elif write.kind == "create":
        yield Event("page", write.account, "feed", {**about, **message, "verb": "add"})
    elif write.changed("is_hidden"):
        verb = "hide" if values.get("is_hidden") else "unhide"
        yield Event("page", write.account, "feed", {**about, **message, "verb": verb})
    elif write.changed("message"):
        yield Event("page", write.account, "feed", {**about, **message, "verb": "edited"})


def reaction(world: World, liked: Node, person: Node, verb: str, now: datetime) -> dict[str, Any]:
    """`feed`: somebody likes a post or a comment, or no longer. A list changes, no object: who writes tells of it."""
    post = _post_above(world, liked)
    value = {
        "from": _person(person),
        "item": "reaction",
        "verb": verb,
        "reaction_type": "like",
        "post_id": post.id if post else liked.id,
        "parent_id": liked.parent[1] if liked.kind == "comment" and liked.parent else liked.account,
        "created_time": int(now.timestamp()),
    }
    return value | ({"comment_id": liked.id} if liked.kind == "comment" else {})


def _post_above(world: World, node: Node) -> Node | None:
    found: Node | None = node
    while found is not None and found.kind == "comment":
        found = world.nodes.get(found.parent[1]) if found.parent else None
    return found


def _video(write: _Write) -> Iterator[Event]:
    """`videos`: a video was processed, or could not be (field S, the value's shape M)."""
    if write.before is None:
        return
    was, status = (_video_status(node) for node in (write.before, write.node))
    if write.kind == "change" and was != status and status in _VIDEO_ENDS:
        yield Event("page", write.account, "videos", {"id": write.node.id, "status": {"video_status": status}})


def _video_status(node: Node) -> str:
    status = node.values.get("status")
    return str(status.get("video_status")) if isinstance(status, Mapping) else ""


def _instagram_comment(write: _Write) -> Iterator[Event]:
    """`comments`: new ones only (O samples)."""
    values = write.node.values
    if write.kind != "create":
        return
    medium = write.world.nodes.get(str(values.get("media") or (write.node.parent or ("", ""))[1]))
    value: dict[str, Any] = {
        "from": _plain(values.get("from")) or {"id": write.account.id, "username": values.get("username")},
        "id": write.node.id,
        "text": values.get("text", ""),
    }
    if medium is not None and medium.kind == "media":
        value["media"] = {"id": medium.id, "media_product_type": medium.values.get("media_product_type", "FEED")}
    if write.node.parent and write.node.parent[0] == "ig_comment":
        value["parent_id"] = write.node.parent[1]
    yield Event("instagram", write.account, "comments", value)
    told = {"media_id": medium.id if medium else "", "comment_id": write.node.id}
    for profile in _mentioned(write, str(values.get("text", ""))):
        yield Event("instagram", profile, "mentions", told)


def _medium(write: _Write) -> Iterator[Event]:
    """`mentions` in a caption: the medium's id and nothing else (O samples)."""
    if write.kind == "create":
        for profile in _mentioned(write, str(write.node.values.get("caption") or "")):
            yield Event("instagram", profile, "mentions", {"media_id": write.node.id})


def _mentioned(write: _Write, text: str) -> Iterator[Node]:
    """Other profiles of the world that a text names with an `@`."""
    names = {name.rstrip(".").lower() for name in _MENTION.findall(text)}
    for account_id in write.world.accounts if names else ():
        account = write.world.nodes[account_id]
        same = account.kind == write.account.kind and account.id != write.account.id
        if same and str(account.values.get("username")).lower() in names:
            yield account


def _thread(write: _Write) -> Iterator[Event]:
    """`publish` and `delete`, `replies` to a post of the account, `mentions` of it (O, threads/webhooks)."""
    values, node = write.node.values, write.node
    shown = {
        "id": node.id,
        "username": values.get("username"),
        "text": values.get("text", ""),
        "media_type": values.get("media_type"),
        "permalink": values.get("permalink"),
        "shortcode": values.get("shortcode"),
        "timestamp": _text(values.get("timestamp")),
    }
    shown = {name: value for name, value in shown.items() if value is not None}
    owned = {"owner": {"owner_id": write.account.id}}
    if write.kind == "remove":
        told = {"id": node.id, "deleted_at": _text(write.now), "timestamp": shown.get("timestamp")}
        yield Event("threads", write.account, "delete", told | owned)
    if write.kind != "create":
        return
    yield Event("threads", write.account, "publish", shown | owned)
    for profile in _mentioned(write, str(values.get("text") or "")):
        yield Event("threads", profile, "mentions", shown)
    answered = write.world.nodes.get(_id_of(values.get("replied_to")))
    if answered is not None:
        owner = write.world.nodes[answered.account]
        root = write.world.nodes.get(_id_of(values.get("root_post"))) or answered
        about = {"id": root.id, "owner_id": root.account, "username": owner.values.get("username")}
        yield Event("threads", owner, "replies", {**shown, "replied_to": {"id": answered.id}, "root_post": about})


def _ad_object(write: _Write) -> Iterator[Event]:
    """Changes of the effective status (O, ads-webhooks); they are told when a change is made, not at a creation."""
    if write.kind != "change" or write.before is None:
        return
    was, status = _effective_status(write.world, write.before), str(write.node.values.get("effective_status"))
    if was == status:
        return
    node, level = write.node, _LEVELS[write.node.kind]
    if was in _IN_PROCESS:
        value = {"id": node.id, "level": level, "status_name": status.replace("_", " ").capitalize()}
        yield Event("ad_account", write.account, "in_process_ad_objects", value)
    if status == "WITH_ISSUES":
        # The issue's own words, where the object has any (S); else the sample's (O).
        issues = node.values.get("issues_info") or [{}]
        told = {name: issues[0].get(name, default) for name, default in _ISSUE.items()}
        yield Event("ad_account", write.account, "with_issues_ad_objects", {"id": node.id, "level": level, **told})
    for found in _touched(write.world, node):
        told = {"object_id": found.id, "object_type": found.kind, "changed_fields": ["effective_status"]}
        yield Event("ad_account", write.account, "effective_status", told)


def _effective_status(world: World, before: Node) -> str:
    """As it was: a status that follows from others must not be read from what is there now."""
    if isinstance(dict.get(before.values, "effective_status"), Late):
        return effective_status(world, before)
    return str(before.values.get("effective_status"))


def _touched(world: World, node: Node) -> Iterator[Node]:
    """The object, and what is switched on below it: its effective status follows."""
    if node.kind == "adcreative":
        return
    yield node
    edge = {"campaign": "adsets", "adset": "ads"}.get(node.kind)
    if edge is not None:
        for below in islice(world.listed(node, edge), _MOST_BELOW):
            if below.status == "ACTIVE":
                yield from _touched(world, below)


_ISSUE = {"error_code": "567", "error_summary": "error summary", "error_message": "error message"}


def _lead(write: _Write) -> Iterator[Event]:
    """`leadgen`: ids and a moment, nothing of what was answered (T)."""
    values = write.node.values
    if write.kind != "create":
        return
    value = {
        "leadgen_id": write.node.id,
        "page_id": write.account.id,
        "form_id": str(values.get("form_id") or (write.node.parent or ("", ""))[1]),
        "created_time": _unix(values.get("created_time")) or write.unix,
    }
    if values.get("ad_id"):
        value |= {"ad_id": values["ad_id"], "adgroup_id": values["ad_id"]}
    yield Event("page", write.account, "leadgen", value)


_READERS: Mapping[str, Callable[[_Write], Iterator[Event]]] = {
    "post": _post,
    "comment": _comment,
    "video": _video,
    "media": _medium,
    "ig_comment": _instagram_comment,
    "threads_post": _thread,
    "campaign": _ad_object,
    "adset": _ad_object,
    "ad": _ad_object,
    "adcreative": _ad_object,
    "lead": _lead,
}


def _person(account: Node) -> dict[str, Any]:
    return {"id": account.id, "name": account.title}


def _plain(value: Any) -> dict[str, Any] | None:
    """A person as the value has it; None for a reference or nothing."""
    return dict(value) if isinstance(value, Mapping) else None


def _id_of(value: Any) -> str:
    return str(value.get("id", "")) if isinstance(value, Mapping) else str(value or "")


def _unix(value: Any) -> int | None:
    return int(value.timestamp()) if isinstance(value, datetime) else None


def _text(value: Any) -> str | None:
    return value.strftime("%Y-%m-%dT%H:%M:%S%z") if isinstance(value, datetime) else None
