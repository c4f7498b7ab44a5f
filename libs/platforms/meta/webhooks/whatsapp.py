"""What changes of a WhatsApp Business Account mean: one change can carry several messages, statuses or groups.

Source: "WhatsApp Cloud API webhooks" and "Groups API webhooks", read 2026-11. Statuses come in any order and can skip.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from libs.platforms.base import UnknownShape
from libs.platforms.meta.webhooks.keys import Meaning, Told, inside, moment, natural_key
from libs.platforms.meta.webhooks.pages import anything
from libs.platforms.meta.webhooks.payload import checked

MAX_REPEATED_BYTES: Final = 8_000_000
_LISTS: Final = ("messages", "message_echoes", "statuses", "groups")


def parts_of(value: Any, place: str) -> Iterator[Any]:
    """Give the value once per thing in it, each time with that one thing alone and all else as it was.

    Raises UnknownShape when repeating all else would make far more of it than was delivered.
    """
    found = [name for name in _LISTS if isinstance(inside(value, name), list)]
    count = sum(len(value[name]) for name in found)
    if count <= 1:
        yield value
        return
    rest = {name: part for name, part in value.items() if name not in found}
    repeated_bytes = count * len(checked(rest, place)[1])
    if repeated_bytes > MAX_REPEATED_BYTES:
        raise UnknownShape(f"{place} has {count} things in a frame too large to be repeated for each")
    for name in found:
        for thing in value[name]:
            yield rest | {name: [thing]}


def change(told: Told) -> Meaning:
    """Read what `parts_of` gave."""
    for name, reader in _READERS.items():
        things = inside(told.value, name)
        if isinstance(things, list) and len(things) == 1 and isinstance(things[0], dict):
            return reader(told, things[0])
    return anything(told, _WORDS.get(told.field, "other"))


def _message(told: Told, thing: Mapping[str, Any]) -> Meaning:
    key = natural_key(told.object, "message", thing.get("id") or told.digest)
    return Meaning("message.received", key, moment(thing.get("timestamp")))


def _echo(told: Told, thing: Mapping[str, Any]) -> Meaning:
    key = natural_key(told.object, "message", thing.get("id") or told.digest, "echo")
    return Meaning("message.sent", key, moment(thing.get("timestamp")))


def _status(told: Told, thing: Mapping[str, Any]) -> Meaning:
    names = ("id", "status", "recipient_id", "recipient_participant_id")
    parts = [thing.get(name) for name in names] if thing.get("id") else [told.digest]
    return Meaning("message.status", natural_key(told.object, "status", *parts), moment(thing.get("timestamp")))


def _group(told: Told, thing: Mapping[str, Any]) -> Meaning:
    # A request's answer is told by the request; what members do has no id but when and what.
    request_id = thing.get("request_id")
    parts = [request_id] if request_id else [thing.get("group_id"), thing.get("timestamp"), told.digest]
    key = natural_key(told.object, "group", thing.get("type"), *parts)
    return Meaning("group.updated", key, moment(thing.get("timestamp")))


_READERS: Final = {"messages": _message, "message_echoes": _echo, "statuses": _status, "groups": _group}
_WORDS: Final[Mapping[str, str]] = {
    "account_update": "account.updated",
    "account_review_update": "account.updated",
    "account_alerts": "account.updated",
    "business_capability_update": "account.updated",
    "phone_number_name_update": "account.updated",
    "phone_number_quality_update": "account.updated",
    "message_template_status_update": "template.status",
    "message_template_quality_update": "template.status",
    "template_category_update": "template.status",
}
