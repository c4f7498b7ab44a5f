"""What messages of Messenger and Instagram mean: `messaging[]`, `standby[]`, or the same inside `changes[]`.

Source: "Messenger Platform webhooks" and "Instagram Platform webhook notification examples", read 2026-11.
"""

from collections.abc import Mapping
from typing import Any, Final

from libs.platforms.meta.webhooks.keys import Meaning, Told, inside, moment, natural_key

_KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "message": ("messages", "message.received"),
    "message_edit": ("message_edits", "message.edited"),
    "postback": ("messaging_postbacks", "message.postback"),
    "reaction": ("message_reactions", "message.reaction"),
    "read": ("message_reads", "message.read"),
    "delivery": ("message_deliveries", "message.delivered"),
    "referral": ("messaging_referrals", "message.referral"),
    "optin": ("messaging_optins", "message.optin"),
    "account_linking": ("messaging_account_linking", "message.account_linking"),
    "pass_thread_control": ("messaging_handovers", "message.handover"),
    "take_thread_control": ("messaging_handovers", "message.handover"),
    "request_thread_control": ("messaging_handovers", "message.handover"),
    "app_roles": ("messaging_handovers", "message.handover"),
    "messaging_feedback": ("messaging_feedback", "message.feedback"),
    "response_feedback": ("response_feedback", "message.feedback"),
    "messaging_customer_information": ("messaging_customer_information", "contact.changed"),
    "call_permission_reply": ("call_permission_reply", "call.permission"),
    "game_play": ("messaging_game_plays", "message.game_play"),
    "policy_enforcement": ("messaging_policy_enforcement", "account.updated"),
    "policy-enforcement": ("messaging_policy_enforcement", "account.updated"),
}
"""The key that says what an item is, the field that one subscribes to, and our word."""
GROUP_FEED: Final = "group_feed"


def kind_of(item: Mapping[str, Any]) -> str | None:
    """Give the key that says what the item is."""
    return next((kind for kind in _KINDS if kind in item), None)


def is_messaging(value: Any) -> bool:
    """Tell whether a change's value is an item as `messaging[]` has them."""
    return isinstance(value, dict) and "sender" in value and "recipient" in value and kind_of(value) is not None


def field_of(item: Mapping[str, Any]) -> str:
    """Give the field that one subscribes to for such an item."""
    if "group_id" in item and "comment_id" in item:
        return GROUP_FEED  # its `message` is the comment's text
    kind = kind_of(item)
    if kind is None:
        return "messaging"
    if kind == "message" and inside(item, "message", "is_echo") is True:
        return "message_echoes"
    return _KINDS[kind][0]


def message(told: Told) -> Meaning:
    """Read one item. A message is known by its `mid`, all else by its kind, sender, moment and what it is about."""
    kind = kind_of(told.fields)
    when = told.fields.get("timestamp")
    if kind is None:
        return Meaning("other", natural_key(told.object, told.field, told.account_id, told.digest, when), moment(when))
    inner = told.fields[kind]
    word = _KINDS[kind][1]
    if kind == "message" and inside(inner, "mid"):
        echo, deleted = inside(inner, "is_echo") is True, inside(inner, "is_deleted") is True
        word = "message.removed" if deleted else "message.sent" if echo else word
        key = natural_key(told.object, kind, inside(inner, "mid"), "echo" if echo else "", "deleted" if deleted else "")
        return Meaning(word, key, moment(when))
    about = inside(inner, "mid") or inside(inner, "watermark") or told.digest
    which = inside(inner, "action") or inside(inner, "num_edit")
    parts = [told.account_id, inside(told.value, "sender", "id"), when, about, which]
    if when is None:  # it can come again and look the same
        parts += [told.digest, told.entry_time]
    return Meaning(word, natural_key(told.object, kind, *parts), moment(when))
