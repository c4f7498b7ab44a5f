"""Deliveries as Meta would make them: for drills of an installation, never for what really happened.

Every one tells of something that never happened before, so that it is new to whoever gets it.
"""

import hmac
import json
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

from libs.platforms.base import Headers

_Sample = Callable[[str, int], dict[str, Any]]
USER_AGENT: Final = b"facebookexternalua"


class MetaDrill:
    """Makes and signs deliveries."""

    @property
    def samples(self) -> Mapping[str, str]:
        """Names of samples, each with the type of the account that it tells of."""
        return MappingProxyType({name: kind for name, (kind, _) in _SAMPLES.items()})

    def sample(self, name: str, account_id: str | None = None) -> bytes:
        """Give the body of a new delivery. Raises KeyError for a name that is none."""
        kind, make = _SAMPLES[name]
        return json.dumps(make(account_id or _EXAMPLES[kind], int(time.time())), separators=(",", ":")).encode()

    def sign(self, body: bytes, secret: bytes) -> Headers:
        """Give the headers with which Meta would deliver the body."""
        digest = hmac.digest(secret, body, "sha256").hex().encode()
        return [
            (b"content-type", b"application/json"),
            (b"user-agent", USER_AGENT),
            (b"x-hub-signature-256", b"sha256=" + digest),
        ]


_EXAMPLES: Final[Mapping[str, str]] = {
    "page": "153125381133",
    "instagram": "17841405309211844",
    "ad_account": "act_4711",
    "whatsapp": "102290129340398",
    "threads": "78901",
}


def _number() -> str:
    """Digits that nobody had before."""
    return str(uuid4().int % 10**17).rjust(17, "1")


def _entry(watched: str, account_id: str, at: int, field: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"object": watched, "entry": [{"id": account_id, "time": at, "changes": [{"field": field, "value": value}]}]}


def _feed(account_id: str, at: int, **changes: Any) -> dict[str, Any]:
    value = {"from": {"id": _number(), "name": "Platform Drill"}, "verb": "add", "created_time": at} | changes
    return _entry("page", account_id, at, "feed", value)


def _page_feed(account_id: str, at: int) -> dict[str, Any]:
    return _feed(account_id, at, item="status", post_id=f"{account_id}_{_number()}", message="A drill: ä ö å")


def _page_comment(account_id: str, at: int) -> dict[str, Any]:
    post_id = f"{account_id}_{_number()}"
    about = {"post_id": post_id, "parent_id": post_id, "comment_id": f"{post_id}_{_number()}", "message": "A drill"}
    return _feed(account_id, at, item="comment", **about)


def _leadgen(account_id: str, at: int) -> dict[str, Any]:
    value = {"leadgen_id": _number(), "page_id": account_id, "form_id": _number(), "created_time": at}
    return _entry("page", account_id, at, "leadgen", value)


def _page_message(account_id: str, at: int) -> dict[str, Any]:
    return _messaging("page", account_id, at)


def _instagram_message(account_id: str, at: int) -> dict[str, Any]:
    return _messaging("instagram", account_id, at)


def _messaging(watched: str, account_id: str, at: int) -> dict[str, Any]:
    item = {
        "sender": {"id": _number()},
        "recipient": {"id": account_id},
        "timestamp": at * 1000,
        "message": {"mid": f"m_{uuid4().hex}", "text": "A drill"},
    }
    return {"object": watched, "entry": [{"id": account_id, "time": at * 1000, "messaging": [item]}]}


def _instagram_comment(account_id: str, at: int) -> dict[str, Any]:
    value = {
        "id": _number(),
        "from": {"id": _number(), "username": "platform_drill"},
        "text": "A drill",
        "media": {"id": _number(), "media_product_type": "FEED"},
    }
    return _entry("instagram", account_id, at, "comments", value)


def _ad_account(account_id: str, at: int) -> dict[str, Any]:
    value = {
        "id": _number(),
        "level": "AD",
        "error_code": "567",
        "error_summary": "A drill",
        "error_message": "Nothing is wrong",
    }
    return _entry("ad_account", account_id.removeprefix("act_"), at, "with_issues_ad_objects", value)


def _whatsapp_message(account_id: str, at: int) -> dict[str, Any]:
    message = {
        "from": "16505551234",
        "id": f"wamid.{uuid4().hex}",
        "timestamp": str(at),
        "type": "text",
        "text": {"body": "A drill"},
    }
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"},
        "contacts": [{"profile": {"name": "Platform Drill"}, "wa_id": "16505551234"}],
        "messages": [message],
    }
    return _entry("whatsapp_business_account", account_id, at, "messages", value)


def _threads_mention(account_id: str, at: int) -> dict[str, Any]:
    value = {"id": _number(), "username": "platform_drill", "text": "A drill", "media_type": "TEXT_POST"}
    return {
        "app_id": "123456",
        "topic": "interaction",
        "target_id": account_id,
        "time": at,
        "subscription_id": "234567",
        "has_uid_field": False,
        "values": {"value": value, "field": "mentions"},
    }


_SAMPLES: Final[Mapping[str, tuple[str, _Sample]]] = {
    "page_feed": ("page", _page_feed),
    "page_comment": ("page", _page_comment),
    "page_message": ("page", _page_message),
    "leadgen": ("page", _leadgen),
    "instagram_comment": ("instagram", _instagram_comment),
    "instagram_message": ("instagram", _instagram_message),
    "ad_account": ("ad_account", _ad_account),
    "whatsapp_message": ("whatsapp", _whatsapp_message),
    "threads_mention": ("threads", _threads_mention),
}
