"""Messages of WhatsApp numbers: sent, told as delivered and read, received by other numbers of the world.

Source: WhatsApp Cloud API, "Messages" and "Webhooks" (O); business-scoped user ids, which stand in them since April
2026, as pywa 4.5 and three partners' guides have them (T). Nobody holds a phone here: a message is delivered a second
after it was sent and read two seconds later, by the sandbox's clock. What is sent to another number of the world
arrives there as a message. No country has the code 999: such a number is where deliveries fail.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson

from services.sandbox.meta.errors import GraphError, bad_parameter
from services.sandbox.meta.operations import Context, Operation
from services.sandbox.meta.world import Node, World

TYPES = (
    "text", "image", "video", "audio", "document", "sticker", "location", "contacts", "reaction", "interactive",
    "template",
)  # fmt: skip
"""O. The message's content stands under the name of its type."""
MAX_TEXT_CHARS = 4_096  # O
DELIVERED_AFTER_SECONDS, READ_AFTER_SECONDS = 1.0, 3.0  # made up
_UNREACHABLE = "999"
_NOBODY = "Jo Park"
"""What people outside of the world are called."""
_TEMPLATE_PRICE = {"billable": True, "pricing_model": "PMP", "category": "utility", "type": "regular"}
_ANSWER_PRICE = {
    "billable": False, "pricing_model": "PMP", "category": "service", "type": "free_customer_service",
}  # fmt: skip
_UNDELIVERABLE = {
    "code": 131026,
    "title": "Message undeliverable",
    "message": "Message undeliverable",
    "error_data": {"details": "Message Undeliverable."},
    "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
}  # O


def _send(context: Context) -> object:
    """A message, or that one was read (O)."""
    params, number = context.params, context.named
    if params.get("messaging_product") != "whatsapp":
        raise bad_parameter("The parameter messaging_product is required.")
    if params.get("status") == "read":
        if not params.get("message_id", "").startswith("wamid."):
            raise _wrong_value("message_id must be the id of a message")
        return {"success": True}
    asked = params.get("to", "").strip()
    person = "".join(sign for sign in asked if sign.isdigit())
    if not asked:
        raise bad_parameter("The parameter to is required.")
    if not 7 <= len(person) <= 15:
        raise _wrong_value("to must be a phone number with its country code")
    kind = params.get("type", "text")
    content = _content(params, kind)
    # wamids are opaque; theirs are base64 with the number in it (T).
    wamid = "wamid." + base64.b64encode(f"{person}:{context.tokens.random_text(18)}".encode()).decode()
    _tell(context, number, person, wamid, {"type": kind, kind: content})
    status = {"message_status": "accepted"} if kind == "template" else {}
    return {
        "messaging_product": "whatsapp",
        "contacts": [{"input": asked, "wa_id": person}],
        "messages": [{"id": wamid, **status}],
    }


def _content(params: Mapping[str, str], kind: str) -> Any:
    """Raises: GraphError 100 or 131009."""
    if kind not in TYPES:
        raise bad_parameter(f"Param type must be one of {{{', '.join(TYPES)}}} - got {kind!r}.")
    text = params.get(kind)
    if text is None:
        raise bad_parameter(f"The parameter {kind} is required.")
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise bad_parameter(f"Param {kind} must be a JSON object.") from error
    if not isinstance(content, list if kind == "contacts" else dict):
        raise bad_parameter(f"Param {kind} must be a JSON object.")
    if kind == "text":
        body = content.get("body") if isinstance(content, dict) else None
        if not isinstance(body, str) or not body:
            raise bad_parameter("The parameter text['body'] is required.")
        if len(body) > MAX_TEXT_CHARS:
            raise _wrong_value(f"Param text['body'] must be at most {MAX_TEXT_CHARS} characters long.")
    return content


def _wrong_value(text: str) -> GraphError:
    """131009, and where the details stand (O, whatsapp/support/error-codes); their words M."""
    data = {"messaging_product": "whatsapp", "details": text}
    return GraphError(400, 131009, "(#131009) Parameter value is not valid", data=data)


def _tell(context: Context, number: Node, person: str, wamid: str, content: Mapping[str, Any]) -> None:
    """Statuses to the sender's account, the message to the receiver's."""
    now, account = context.around.clock.now(), context.world.nodes[number.account]
    steps = [("sent", 0.0), ("delivered", DELIVERED_AFTER_SECONDS), ("read", READ_AFTER_SECONDS)]
    if person.startswith(_UNREACHABLE):
        steps = [("failed", 0.0)]
    opaque = context.params.get("biz_opaque_callback_data")
    told = {"biz_opaque_callback_data": opaque} if opaque else {}  # O
    for status, wait in steps:
        at = now + timedelta(seconds=wait)
        contacts = [_contact(person, account, _NOBODY)] if status != "failed" else []
        shown = {**_status(wamid, status, person, account, at), **told}
        if status in {"sent", "delivered"}:
            # With these two statuses (M): only templates cost anything (O).
            shown["pricing"] = _TEMPLATE_PRICE if content["type"] == "template" else _ANSWER_PRICE
        value = {**_frame(number), **({"contacts": contacts} if contacts else {}), "statuses": [shown]}
        context.webhooks.tell(_OBJECT, account, "messages", value, wait_seconds=wait)
    for other in _numbers(context.world):
        if digits(other) == person and other.id != number.id:
            owner, sender = context.world.nodes[other.account], digits(number)
            contact = _contact(sender, owner, str(number.values.get("verified_name", "")))
            message = {
                "from": sender,
                "from_user_id": contact["user_id"],
                "id": wamid,
                "timestamp": str(int(now.timestamp())),
                **content,
            }
            value = {**_frame(other), "contacts": [contact], "messages": [message]}
            context.webhooks.tell(_OBJECT, owner, "messages", value, wait_seconds=DELIVERED_AFTER_SECONDS)


def _contact(person: str, account: Node, name: str) -> dict[str, Any]:
    return {"profile": {"name": name}, "wa_id": person, "user_id": _user_id(person, account)}


def _user_id(person: str, account: Node) -> str:
    """A person's id for one business: country, dot, letters and digits (T). The country is made up."""
    business = account.parent[1] if account.parent else account.id
    return f"US.{int(hashlib.sha256(f'{business}/{person}'.encode()).hexdigest()[:15], 16)}"


def _status(wamid: str, status: str, person: str, account: Node, at: datetime) -> dict[str, Any]:
    """O, but for the price."""
    shown: dict[str, Any] = {
        "id": wamid,
        "status": status,
        "timestamp": str(int(at.timestamp())),
        "recipient_id": person,
    }
    if status == "failed":
        shown["errors"] = [_UNDELIVERABLE]
        return shown
    shown["recipient_user_id"] = _user_id(person, account)
    return shown


def _frame(number: Node) -> dict[str, Any]:
    metadata = {"display_phone_number": digits(number), "phone_number_id": number.id}
    return {"messaging_product": "whatsapp", "metadata": metadata}


def digits(number: Node) -> str:
    return "".join(sign for sign in str(number.values["display_phone_number"]) if sign.isdigit())


def _numbers(world: World) -> Iterator[Node]:
    for account_id in world.accounts:
        account = world.nodes[account_id]
        if account.kind == "whatsapp":
            yield from world.listed(account, "phone_numbers")


_OBJECT = "whatsapp_business_account"
OPERATIONS = (
    Operation(
        "meta.phone_number.messages.create", "POST", "{phone_number}/messages", _send,
        scopes=("whatsapp_business_messaging",), bucket="messages",
    ),
)  # fmt: skip
