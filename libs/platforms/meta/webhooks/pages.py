"""What changes of pages, Instagram accounts, ad accounts and people's permissions mean.

Fields of `feed`: "Webhooks reference, page", read 2026-11. Which of them tell two changes apart is not documented, our
choice is decision 0019.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from libs.platforms.meta.webhooks.keys import Meaning, Told, first, inside, moment, natural_key

_NOUNS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("post", "status", "photo", "video", "share", "album", "link", "note", "story", "event"), "post"),
    "comment": "comment",
    "like": "reaction",
    "reaction": "reaction",
    "rating": "rating",
    "review": "rating",
}
_PARTICIPLES: Final[Mapping[str, str]] = {
    "add": "created",
    **dict.fromkeys(("edit", "edited", "update"), "edited"),
    **dict.fromkeys(("remove", "delete"), "removed"),
    "hide": "hidden",
    "unhide": "unhidden",
}
_ONCE: Final = ("add", "remove", "delete")
"""Verbs that come once for one object and person at one time; others can come again and look the same."""
_TARGETS: Final = ("post_id", "photo_id", "video_id", "share_id", "open_graph_story_id", "album_id")


def feed(told: Told) -> Meaning:
    """Read `feed`, `mention` and `ratings`: an item, a verb, and whose."""
    fields = told.fields
    item, verb = str(fields.get("item", "")), str(fields.get("verb", ""))
    noun = _FEED_NOUNS.get(told.field) or _NOUNS.get(item)
    participle = _PARTICIPLES.get(verb)
    target, when, person = _target(fields), first(fields, "edited_time", "created_time"), _person(told)
    parts = [target, when, person, fields.get("reaction_type")]
    comes_again = verb not in _ONCE and fields.get("edited_time") is None
    if target is None or comes_again or (noun == "reaction" and None in (when, person)):
        parts += [told.digest, told.entry_time]
    if fields.get("published") in (0, False):  # what is planned is added once more when it is published
        parts.append("unpublished")
    return Meaning(
        f"{noun}.{participle}" if noun and participle else "other",
        natural_key(told.object, told.field, told.account_id, item, verb, *parts),
        moment(when),
    )


_FEED_NOUNS: Final[Mapping[str, str]] = {"mention": "mention", "ratings": "rating"}


def _target(fields: Mapping[str, Any]) -> Any:
    """Give what it is about. A comment's id is its own; all photos of a post have the post's beside their own."""
    comment_id = first(fields, "comment_id")
    ids = [fields[name] for name in _TARGETS if fields.get(name) not in (None, "")]
    return ids if comment_id is None and len(ids) > 1 else comment_id or first(fields, *_TARGETS)


def _person(told: Told) -> object:
    return inside(told.value, "from", "id") or first(told.fields, "sender_id", "reviewer_id")


def lead(told: Told) -> Meaning:
    """Read `leadgen`: a form was sent. Source: "Webhooks for leadgen", read 2026-11; `leadgen_fat`: SDK only."""
    lead_id = first(told.fields, "leadgen_id")
    parts = [lead_id] if lead_id is not None else [told.account_id, told.digest]
    return Meaning("lead.created", natural_key("page", told.field, *parts), moment(told.fields.get("created_time")))


def comment(told: Told) -> Meaning:
    """Read comments of Instagram and of a website's plugin; the id stands under either of two names.

    Of media that two accounts made together each may hear of the same comment.
    """
    comment_id = first(told.fields, "id", "comment_id") or told.digest
    key = natural_key(told.object, told.field, told.account_id, comment_id)
    return Meaning("comment.created", key, moment(first(told.fields, "timestamp", "created_time")))


def group_comment(told: Told) -> Meaning:
    """Read `group_feed`: a comment in a page's group, delivered among its messages.

    Source: "Messenger Platform webhooks, group_feed", read 2026-11.
    """
    key = natural_key(told.object, "group_feed", told.account_id, told.fields.get("comment_id") or told.digest)
    return Meaning("comment.created", key, moment(first(told.fields, "created_time", "timestamp")))


def instagram_mention(told: Told) -> Meaning:
    """Read `mentions`: ids only."""
    ids = [told.fields.get("media_id"), told.fields.get("comment_id")]
    if ids == [None, None]:
        ids = [told.digest]
    return Meaning("mention.created", natural_key(told.object, told.field, told.account_id, *ids), None)


def story_insights(told: Told) -> Meaning:
    """Read `story_insights`: sent once, after the story is over."""
    media_id = told.fields.get("media_id") or told.digest
    return Meaning("story.insights", natural_key(told.object, told.field, told.account_id, media_id), None)


_AD_WORDS: Final[Mapping[str, str]] = {
    "with_issues_ad_objects": "ad.issue",
    "product_set_issue": "ad.issue",
    "in_process_ad_objects": "ad.status",
    "effective_status": "ad.status",
    "field_changed": "ad.edited",
    "creative_fatigue": "ad.fatigue",
    "ad_recommendations": "ad.recommendation",
    "ads_async_creation_request": "ad.request",
}


def ad_object(told: Told) -> Meaning:
    """Read any field of `ad_account`: a hint to read the object again, with no id or time of its own."""
    word = _AD_WORDS.get(told.field, "other")
    if word == "ad.edited" and told.fields.get("changed_fields") == ["effective_status"]:
        word = "ad.status"
    thing = first(told.fields, "id", "object_id", "adgroup_id")
    level = first(told.fields, "level", "object_type")
    parts = (told.account_id, thing, level, told.digest, told.entry_time)
    return Meaning(word, natural_key(told.object, told.field, *parts), None)


_PERMISSION_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("granted", "grant", "added", "connected"), "permission.granted"),
    **dict.fromkeys(("revoked", "revoke", "removed", "disconnected"), "permission.revoked"),
}


def permission(told: Told) -> Meaning:
    """Read any field of `permissions`, which is the permission's name; verbs as in its reference, read 2026-11.

    The same can be granted and revoked again and again, so the time of sending counts.
    """
    word = _PERMISSION_WORDS.get(str(told.fields.get("verb")), "permission.changed")
    return anything(told, word)


def anything(told: Told, change_type: str = "other") -> Meaning:
    """Read what we have no better words for: the value as a whole and the time of sending tell it apart."""
    key = natural_key(told.object, told.field, told.account_id, told.digest, told.entry_time)
    when = moment(first(told.fields, "timestamp", "created_time", "event_time"))
    return Meaning(change_type, key, when)


def as_word(change_type: str) -> Callable[[Told], Meaning]:
    """Give a reader that only knows the word."""
    return lambda told: anything(told, change_type)
