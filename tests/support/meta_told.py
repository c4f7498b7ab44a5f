"""Deliveries of Meta's made up by hypothesis, each with what makes its change that change and no other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.support.meta_recorded import recorded

_Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass(frozen=True, slots=True)
class Told:
    """One change, how it is delivered, and what it is recognised by."""

    kind: str
    identity: tuple[Any, ...]
    envelope: Callable[[int], dict[str, Any]]
    """Gives the delivery for an `entry.time`."""
    time_is_part: bool = False


# Few and alike, so that two draws are often equal, and often nearly so: `1` and `11`, `1_1` and `1` with `1` behind it.
_IDS = st.one_of(
    st.sampled_from(["1", "11", "111", "1_1", "11_1", "1_11", "1:1", "1/1", "1|1", "1,1", "1 1", "0"]),
    st.from_regex(r"[0-9]{1,20}(_[0-9]{1,20})?", fullmatch=True),
)
_ACCOUNTS = st.sampled_from(["1", "11", "111", "1111"])
_SECONDS = st.sampled_from([1_763_700_000, 1_763_700_001, 1_763_699_000])
_MILLIS = st.sampled_from([1_763_700_000_000, 1_763_700_000_001, 1_763_700_001_000])
_TEXTS = st.text(max_size=20)


def _in_changes(object_: str, account: str, field: str, value: Mapping[str, Any]) -> Callable[[int], dict[str, Any]]:
    def envelope(time: int) -> dict[str, Any]:
        entry = {"id": account, "time": time, "changes": [{"field": field, "value": dict(value)}]}
        return {"object": object_, "entry": [entry]}

    return envelope


def _in_messaging(object_: str, account: str, item: Mapping[str, Any]) -> Callable[[int], dict[str, Any]]:
    def envelope(time: int) -> dict[str, Any]:
        return {"object": object_, "entry": [{"id": account, "time": time * 1_000, "messaging": [dict(item)]}]}

    return envelope


@st.composite
def page_feed(draw: _Draw) -> Told:
    page, item = draw(_ACCOUNTS), draw(st.sampled_from(["post", "comment", "reaction"]))
    verb, post, sender = draw(st.sampled_from(["add", "edited", "remove", "hide"])), draw(_IDS), draw(_IDS)
    value = {"item": item, "verb": verb, "post_id": post, "from": {"id": sender, "name": "Ada"}}
    value["created_time"] = at = draw(_SECONDS)
    about, reaction = post, ""
    if item == "comment":
        value["comment_id"] = about = draw(_IDS)
    if item == "reaction":
        value["reaction_type"] = reaction = draw(st.sampled_from(["like", "love", "wow"]))
    if verb == "edited":
        value["edited_time"] = at = draw(_SECONDS)
    identity = (page, item, verb, about, at, sender, reaction)
    if verb == "hide":  # can come again and look the same: the whole value and the time of sending tell it apart
        return Told("feed", (*identity, post), _in_changes("page", page, "feed", value), time_is_part=True)
    value["message"] = draw(_TEXTS)
    return Told("feed", identity, _in_changes("page", page, "feed", value))


@st.composite
def page_leadgen(draw: _Draw) -> Told:
    page, lead = draw(_ACCOUNTS), draw(_IDS)
    value = {"leadgen_id": lead, "page_id": page, "form_id": draw(_IDS), "created_time": draw(_SECONDS)}
    return Told("leadgen", (lead,), _in_changes("page", page, "leadgen", value))


@st.composite
def messages(draw: _Draw) -> Told:
    object_, account, mid = draw(st.sampled_from(["page", "instagram"])), draw(_ACCOUNTS), draw(_IDS)
    flag = "is_echo" if object_ == "page" else "is_deleted"
    flagged = draw(st.booleans())
    message = {"mid": mid, "text": draw(_TEXTS)} | ({flag: True} if flagged else {})
    item = {"sender": {"id": draw(_IDS)}, "recipient": {"id": account}, "timestamp": draw(_MILLIS), "message": message}
    return Told("messages", (object_, mid, flagged), _in_messaging(object_, account, item))


@st.composite
def postbacks(draw: _Draw) -> Told:
    account, mid, sender, at = draw(_ACCOUNTS), draw(_IDS), draw(_IDS), draw(_MILLIS)
    postback = {"mid": mid, "title": draw(_TEXTS), "payload": draw(_TEXTS)}
    item = {"sender": {"id": sender}, "recipient": {"id": account}, "timestamp": at, "postback": postback}
    return Told("postback", (account, mid, sender, at), _in_messaging("page", account, item))


@st.composite
def message_reactions(draw: _Draw) -> Told:
    account, mid, sender, at = draw(_ACCOUNTS), draw(_IDS), draw(_IDS), draw(_MILLIS)
    action = draw(st.sampled_from(["react", "unreact"]))
    reaction = {"mid": mid, "action": action, "reaction": "love", "emoji": "❤"}
    item = {"sender": {"id": sender}, "recipient": {"id": account}, "timestamp": at, "reaction": reaction}
    return Told("reaction", (account, mid, sender, at, action), _in_messaging("page", account, item))


@st.composite
def instagram_comments(draw: _Draw) -> Told:
    account, comment = draw(_ACCOUNTS), draw(_IDS)
    name = draw(st.sampled_from(["id", "comment_id"]))
    value = {name: comment, "text": draw(_TEXTS), "from": {"id": draw(_IDS)}, "media": {"id": draw(_IDS)}}
    return Told("comments", (account, comment), _in_changes("instagram", account, "comments", value))


@st.composite
def instagram_mentions(draw: _Draw) -> Told:
    account, media, comment = draw(_ACCOUNTS), draw(_IDS), draw(st.none() | _IDS)
    value = {"media_id": media} | ({} if comment is None else {"comment_id": comment})
    return Told("mentions", (account, media, comment), _in_changes("instagram", account, "mentions", value))


@st.composite
def story_insights(draw: _Draw) -> Told:
    account, media = draw(_ACCOUNTS), draw(_IDS)
    value = {"media_id": media, "impressions": draw(st.integers(-1, 9)), "reach": 5, "exits": 1, "replies": 0}
    return Told("story_insights", (account, media), _in_changes("instagram", account, "story_insights", value))


@st.composite
def ad_accounts(draw: _Draw) -> Told:
    account, about, level = draw(_ACCOUNTS), draw(_IDS), draw(st.sampled_from(["AD", "CAMPAIGN"]))
    value = {"id": about, "level": level, "error_code": draw(st.integers(1, 3)), "error_message": draw(_TEXTS)}
    identity = (account, about, level, value["error_code"], value["error_message"])
    envelope = _in_changes("ad_account", account, "with_issues_ad_objects", value)
    return Told("ad_account", identity, envelope, time_is_part=True)


@st.composite
def whatsapp_messages(draw: _Draw) -> Told:
    account, wamid = draw(_ACCOUNTS), draw(_IDS)
    metadata = {"display_phone_number": "4366", "phone_number_id": draw(_ACCOUNTS)}
    text = {"type": "text", "text": {"body": draw(_TEXTS)}}
    message = {"from": draw(_IDS), "id": wamid, "timestamp": "1763700000", **text}
    value = {"messaging_product": "whatsapp", "metadata": metadata, "messages": [message]}
    return Told("whatsapp", (wamid,), _in_changes("whatsapp_business_account", account, "messages", value))


@st.composite
def whatsapp_statuses(draw: _Draw) -> Told:
    account, wamid, to = draw(_ACCOUNTS), draw(_IDS), draw(_IDS)
    status = draw(st.sampled_from(["sent", "delivered", "read", "failed"]))
    metadata = {"display_phone_number": "4366", "phone_number_id": draw(_ACCOUNTS)}
    said = {"id": wamid, "status": status, "timestamp": "1763700000", "recipient_id": to}
    value = {"messaging_product": "whatsapp", "metadata": metadata, "statuses": [said]}
    envelope = _in_changes("whatsapp_business_account", account, "messages", value)
    return Told("status", (wamid, status, to), envelope)


@st.composite
def threads(draw: _Draw) -> Told:
    target, about, field = draw(_ACCOUNTS), draw(_IDS), draw(st.sampled_from(["replies", "mentions", "publish"]))
    value = {"id": about, "username": "ada", "text": draw(_TEXTS), "timestamp": "2026-11-21T10:00:00+0000"}

    def envelope(time: int) -> dict[str, Any]:
        values = {"value": value, "field": field}
        return {"app_id": "9", "topic": "interaction", "target_id": target, "time": time, "values": values}

    return Told("threads", (target, field, about), envelope)


@st.composite
def group_comments(draw: _Draw) -> Told:
    account, comment = draw(_ACCOUNTS), draw(_IDS)
    item = {"recipient": {"id": account}, "from": {"id": draw(_IDS)}, "group_id": draw(_IDS), "comment_id": comment}
    item |= {"message": draw(_TEXTS), "created_time": draw(_SECONDS)}
    return Told("group_feed", (account, comment), _in_messaging("page", account, item))


@st.composite
def permissions(draw: _Draw) -> Told:
    person, field = draw(_ACCOUNTS), draw(st.sampled_from(["email", "connected"]))
    verb, targets = draw(st.sampled_from(["granted", "revoked"])), draw(st.none() | st.lists(_IDS, max_size=2))
    value = {"verb": verb} | ({} if targets is None else {"target_ids": targets})
    identity = (person, field, verb, None if targets is None else tuple(targets))
    return Told("permissions", identity, _in_changes("permissions", person, field, value), time_is_part=True)


@st.composite
def plugin_comments(draw: _Draw) -> Told:
    app, comment = draw(_ACCOUNTS), draw(_IDS)
    field = draw(st.sampled_from(["plugin_comment", "plugin_comment_reply"]))
    value = {"id": comment, "message": draw(_TEXTS)}
    return Told("plugin_comment", (app, field, comment), _in_changes("application", app, field, value))


@st.composite
def whatsapp_calls(draw: _Draw) -> Told:
    account, call, event = draw(_ACCOUNTS), draw(_IDS), draw(st.sampled_from(["connect", "terminate"]))
    thing = {"id": call, "event": event, "to": draw(_IDS), "timestamp": "1763700000"}
    value = {"messaging_product": "whatsapp", "calls": [thing]}
    return Told("calls", (call, event), _in_changes("whatsapp_business_account", account, "calls", value))


@st.composite
def whatsapp_preferences(draw: _Draw) -> Told:
    account, person, said = draw(_ACCOUNTS), draw(_IDS), draw(st.sampled_from(["stop", "resume"]))
    at = draw(_SECONDS)
    thing = {"wa_id": person, "category": "marketing_messages", "value": said, "timestamp": at, "detail": draw(_TEXTS)}
    value = {"messaging_product": "whatsapp", "user_preferences": [thing]}
    envelope = _in_changes("whatsapp_business_account", account, "user_preferences", value)
    return Told("preferences", (account, person, said, at), envelope)


KINDS: tuple[Callable[[], st.SearchStrategy[Told]], ...] = (
    page_feed,
    page_leadgen,
    messages,
    postbacks,
    message_reactions,
    instagram_comments,
    instagram_mentions,
    story_insights,
    ad_accounts,
    whatsapp_messages,
    whatsapp_statuses,
    threads,
    group_comments,
    permissions,
    plugin_comments,
    whatsapp_calls,
    whatsapp_preferences,
)

TOLD = st.one_of([kind() for kind in KINDS])

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.sampled_from(["1", "", "page", "instagram", "feed", "add", "\x00", "\ud800", "9" * 400]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw: _Draw) -> Any:
    """Give a delivery, made up or recorded, in which one to three places were replaced, removed, doubled or wrapped."""
    if draw(st.booleans()):
        document: Any = draw(TOLD).envelope(1_763_700_000)
    else:
        document = draw(st.sampled_from(recorded())).delivery
    for _ in range(draw(st.integers(1, 3))):
        document = _change_one_place(draw, document)
    return document


def _change_one_place(draw: _Draw, node: Any) -> Any:
    """Walk down at random; what is met at the end is changed. Gives the new tree."""
    if isinstance(node, dict) and node and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(node)))
        if not draw(st.integers(0, 6)):
            return {name: value for name, value in node.items() if name != key}
        return node | {key: _change_one_place(draw, node[key])}
    if isinstance(node, list) and node and draw(st.integers(0, 5)):
        place = draw(st.integers(0, len(node) - 1))
        return [*node[:place], _change_one_place(draw, node[place]), *node[place + 1 :]]
    return draw(st.one_of(JSON, st.just([node]), st.just([node, node]), st.just({"value": node}), st.just(str(node))))
