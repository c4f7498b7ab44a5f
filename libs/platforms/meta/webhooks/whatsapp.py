"""What changes of a WhatsApp Business Account mean: one change can carry several messages, statuses or groups.

Source: "WhatsApp Cloud API webhooks" and "Groups API webhooks", read 2026-11. Statuses come in any order and can skip.
Calls, the history of a number, its contacts and people's preferences: "WhatsApp webhooks overview" names the fields,
the shapes of their values are third party or from memory; what is not as expected falls back to the value as a whole.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from libs.platforms.base import UnknownShape
from libs.platforms.meta.webhooks.keys import Meaning, Told, inside, moment, natural_key
from libs.platforms.meta.webhooks.pages import anything
from libs.platforms.meta.webhooks.payload import checked
from libs.platforms.meta.webhooks.words import word_of

MAX_REPEATED_BYTES: Final = 8_000_000
_LISTS: Final = (
    "messages",
    "message_echoes",
    "statuses",
    "groups",
    "calls",
    "history",
    "state_sync",
    "user_preferences",
)


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
    meaning = anything(told, word_of(told.object, told.field))
    # The overview calls the entry's time here the moment of what triggered it.
    return replace(meaning, occurred_at=meaning.occurred_at or moment(told.entry_time))


def _message(told: Told, thing: Mapping[str, Any]) -> Meaning:
    if told.field == "history":  # the file behind a message of long ago, told apart from one that is new
        return _past(told, thing)
    key = natural_key(told.object, "message", thing.get("id") or told.digest)
    return Meaning("message.received", key, moment(thing.get("timestamp")))


def _past(told: Told, thing: Mapping[str, Any]) -> Meaning:
    key = natural_key(told.object, "history", told.account_id, thing.get("id") or told.digest)
    return Meaning("message.history", key, moment(thing.get("timestamp")))


def _echo(told: Told, thing: Mapping[str, Any]) -> Meaning:
    key = natural_key(told.object, "message", thing.get("id") or told.digest, "echo")
    return Meaning("message.sent", key, moment(thing.get("timestamp")))


def _status(told: Told, thing: Mapping[str, Any]) -> Meaning:
    names = ("id", "status", "recipient_id", "recipient_participant_id")
    parts = [thing.get(name) for name in names] if thing.get("id") else [told.digest]
    word = "call.status" if told.field == "calls" else "message.status"
    return Meaning(word, natural_key(told.object, "status", *parts), moment(thing.get("timestamp")))


def _group(told: Told, thing: Mapping[str, Any]) -> Meaning:
    # A request's answer is told by the request; what members do has no id but when and what.
    request_id = thing.get("request_id")
    parts = [request_id] if request_id else [thing.get("group_id"), thing.get("timestamp"), told.digest]
    key = natural_key(told.object, "group", thing.get("type"), *parts)
    return Meaning("group.updated", key, moment(thing.get("timestamp")))


def _call(told: Told, thing: Mapping[str, Any]) -> Meaning:
    parts = [thing.get("id"), thing.get("event")] if thing.get("id") else [told.digest]
    return Meaning("call.updated", natural_key(told.object, "call", *parts), moment(thing.get("timestamp")))


def _contact(told: Told, thing: Mapping[str, Any]) -> Meaning:
    when = inside(thing, "metadata", "timestamp") or thing.get("timestamp")
    key = natural_key(told.object, "contact", told.account_id, told.digest, when)
    return Meaning("contact.changed", key, moment(when))


def _preference(told: Told, thing: Mapping[str, Any]) -> Meaning:
    parts = [thing.get(name) for name in ("wa_id", "category", "value", "timestamp")]
    if None in parts:
        parts += [told.digest, told.entry_time]
    key = natural_key(told.object, "preference", told.account_id, *parts)
    return Meaning("preference.changed", key, moment(thing.get("timestamp")))


_READERS: Final = {
    "messages": _message,
    "message_echoes": _echo,
    "statuses": _status,
    "groups": _group,
    "calls": _call,
    "history": _past,
    "state_sync": _contact,
    "user_preferences": _preference,
}
