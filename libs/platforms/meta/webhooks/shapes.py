"""A delivery's JSON taken apart: `changes[]`, `messaging[]`, `standby[]`, a flat field and value, `changed_fields[]`,
and Threads' `values`; all of it also inside a list, as some of the documents' samples are written.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from libs.platforms.base import Change, UnknownShape
from libs.platforms.meta.webhooks import messaging, pages, whatsapp
from libs.platforms.meta.webhooks.keys import Meaning, Told, inside, moment, natural_key
from libs.platforms.meta.webhooks.payload import checked
from libs.platforms.meta.webhooks.words import WORDS_OF_OBJECTS, word_of

MAX_CHANGES: Final = 5000
"""Of one delivery. Meta documents up to 1000 updates; a WhatsApp change can carry several things."""
_WORD: Final = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ACCOUNT_TYPES: Final[Mapping[str, str]] = {
    "whatsapp_business_account": "whatsapp",
    "product_catalog": "catalog",
}
_READERS: Final[Mapping[tuple[str, str], Callable[[Told], Meaning]]] = {
    ("page", "feed"): pages.feed,
    ("page", "mention"): pages.feed,
    ("page", "ratings"): pages.feed,
    ("page", "leadgen"): pages.lead,
    ("page", "leadgen_fat"): pages.lead,
    ("page", "group_feed"): pages.group_comment,
    ("instagram", "comments"): pages.comment,
    ("instagram", "live_comments"): pages.comment,
    ("instagram", "mentions"): pages.instagram_mention,
    ("instagram", "story_insights"): pages.story_insights,
    ("application", "plugin_comment"): pages.comment,
    ("application", "plugin_comment_reply"): pages.comment,
}
_READERS_OF_OBJECTS: Final[Mapping[str, Callable[[Told], Meaning]]] = {
    "ad_account": pages.ad_object,
    "whatsapp_business_account": whatsapp.change,
    "permissions": pages.permission,
}
_LEADS: Final = ("leadgen", "leadgen_fat", "leadgen_update")
_THREADS_WORDS: Final[Mapping[str, str]] = {
    "replies": "comment.created",
    "mentions": "mention.created",
    "publish": "post.created",
    "delete": "post.removed",
}
_THREADS_OWNERS: Final[Mapping[str, tuple[str, str]]] = {
    "replies": ("root_post", "owner_id"),
    "publish": ("owner", "owner_id"),
    "delete": ("owner", "owner_id"),
}


def changes_of(delivery: Any) -> list[Change]:
    """Give every change in its order. Raises UnknownShape."""
    wrapped = isinstance(delivery, list)
    found: list[Change] = []
    for number, envelope in enumerate(delivery if wrapped else [delivery]):
        for change in _of_envelope(envelope, f"/{number}" if wrapped else ""):
            if len(found) == MAX_CHANGES:
                raise UnknownShape(f"the delivery has more than {MAX_CHANGES} changes")
            found.append(change)
    return found


def _of_envelope(envelope: Any, place: str) -> Iterator[Change]:
    fields = _as_object(envelope, place or "the body")
    if "entry" not in fields and "values" in fields:
        yield from _of_threads(fields, place)
        return
    watched = _word(fields.get("object"), f"{place}/object")
    for number, entry in enumerate(_as_list(fields.get("entry"), f"{place}/entry")):
        where = f"{place}/entry/{number}"
        yield from _of_entry(watched, _as_object(entry, where), where)


def _of_entry(watched: str, entry: dict[str, Any], place: str) -> Iterator[Change]:
    known = False
    entry = entry | {"time": checked(entry.get("time"), f"{place}/time")[0]}  # becomes part of keys
    if "changes" in entry:
        known = True
        for number, change in enumerate(_as_list(entry["changes"], f"{place}/changes")):
            where = f"{place}/changes/{number}"
            yield from _of_change(watched, entry, _as_object(change, where), where)
    for channel in ("messaging", "standby"):
        if channel in entry:
            known = True
            for number, item in enumerate(_as_list(entry[channel], f"{place}/{channel}")):
                where = f"{place}/{channel}/{number}"
                fields = _as_object(item, where)
                field = channel if channel == "standby" else messaging.field_of(fields)
                reader = pages.group_comment if field == messaging.GROUP_FEED else messaging.message
                yield _made(watched, field, entry, fields, where, reader)
    if "changes" not in entry and "field" in entry:
        known = True
        yield from _of_change(watched, entry, entry, place)
    if "changed_fields" in entry:
        known = True
        for number, name in enumerate(_as_list(entry["changed_fields"], f"{place}/changed_fields")):
            where = f"{place}/changed_fields/{number}"
            yield _made(
                watched, _word(name, where), entry, None, where, pages.as_word(WORDS_OF_OBJECTS.get(watched, "other"))
            )
    if not known:
        raise UnknownShape(f"{place} has none of changes, messaging, standby, field and changed_fields")


def _of_change(watched: str, entry: dict[str, Any], change: dict[str, Any], place: str) -> Iterator[Change]:
    field = _word(change.get("field"), f"{place}/field")
    value = change.get("value")
    where = f"{place}/value"
    if watched in ("page", "instagram") and messaging.is_messaging(value):
        yield _made(watched, field, entry, value, where, messaging.message)
        return
    reader = (
        _READERS.get((watched, field)) or _READERS_OF_OBJECTS.get(watched) or pages.as_word(word_of(watched, field))
    )
    for part in whatsapp.parts_of(value, where) if watched == "whatsapp_business_account" else (value,):
        yield _made(watched, field, entry, part, where, reader)


def _of_threads(fields: dict[str, Any], place: str) -> Iterator[Change]:
    """Read Threads' own form. Source: "Threads webhooks", read 2026-11; that `values` can be a list: third party."""
    values = fields["values"]
    listed = isinstance(values, list)
    target, _ = checked(fields.get("target_id"), f"{place}/target_id")
    time, _ = checked(fields.get("time"), f"{place}/time")
    for number, change in enumerate(values if listed else [values]):
        where = f"{place}/values/{number}" if listed else f"{place}/values"
        told = _as_object(change, where)
        field = _word(told.get("field"), f"{where}/field")
        value, text = checked(told.get("value"), f"{where}/value")
        # target_id is the account of a mention, which is somebody else's; of a reply or a removal it can be the post's.
        owner = inside(value, *_THREADS_OWNERS[field]) if field in _THREADS_OWNERS else None
        account = _id(owner or target, f"{place}/target_id")
        known = Told("threads", field, account, value, text, time)
        post = inside(value, "id") or known.digest
        yield Change(
            object="threads",
            field=field,
            change_type=_THREADS_WORDS.get(field, "other"),
            account_type="threads",
            account_id=account,
            external_event_id=natural_key("threads", field, target, post),
            occurred_at=moment(inside(value, "deleted_at") or inside(value, "timestamp")),
            value=value,
        )


def _made(
    watched: str, field: str, entry: dict[str, Any], value: Any, place: str, reader: Callable[[Told], Meaning]
) -> Change:
    value, text = checked(value, place)
    account = _account(watched, field, entry, value, place)
    told = Told(watched, field, account, value, text, entry.get("time"))
    meaning = reader(told)
    return Change(
        object=watched,
        field=field,
        change_type=meaning.change_type,
        account_type=_ACCOUNT_TYPES.get(watched, watched),
        account_id=account,
        external_event_id=meaning.key,
        occurred_at=meaning.occurred_at,
        value=value,
    )


def _account(watched: str, field: str, entry: dict[str, Any], value: Any, place: str) -> str:
    """Whose it is: the entry's id, but a lead names its page itself (in the documents' sample the entry's id is 0)."""
    page = inside(value, "page_id") if watched == "page" and field in _LEADS else None
    account = _id(page or entry.get("id"), place)
    return f"act_{account.removeprefix('act_')}" if watched == "ad_account" else account


def _as_object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnknownShape(f"{place} is not an object")
    return value


def _as_list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise UnknownShape(f"{place} is not a list")
    return value


def _word(value: Any, place: str) -> str:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise UnknownShape(f"{place} is not a word")
    return value


def _id(value: Any, place: str) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not _ID.fullmatch(text):
        raise UnknownShape(f"{place}: the account has no id that could be one")
    return text
