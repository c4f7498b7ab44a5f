"""The words of every refusal of a request: the same over HTTP and in `request.rejected`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from libs.events.problem import Problem, ProblemItem, problem
from services.ingest.models import Ask, KnownConnection

MAX_ITEMS: Final = 50
MAX_WORDS: Final = 300
_HOW: Final[Mapping[str, str]] = {
    "missing": "add it",
    "extra_forbidden": "leave it out",
    "uuid_parsing": "send a UUID, e.g. 018f5b0e-7c1a-7c3e-9f5b-3f2a1b0c9d8e",
    "uuid_type": "send a UUID, e.g. 018f5b0e-7c1a-7c3e-9f5b-3f2a1b0c9d8e",
    "dict_type": "send a JSON object",
    "string_type": "send a JSON string",
    "int_type": "send a whole number",
    "float_type": "send a number",
}

Fault = tuple[str, str, str]
"""Where (JSON pointer within the request), what, how to mend it."""


def invalid(ask: Ask, faults: Sequence[Fault]) -> Problem:
    """Values that do not keep the rules."""
    count = len(faults)
    detail = f"{count} {'value does' if count == 1 else 'values do'} not keep the rules of this request."
    return problem("invalid", 422, "Request not valid", detail, *_items(ask, faults))


def faults_of(errors: Sequence[Mapping[str, Any]], prefix: str) -> list[Fault]:
    """Turn pydantic's errors into faults; the offending value is never repeated, it could be a secret."""
    return [
        (
            prefix + "".join(f"/{_escaped(str(part))}" for part in error["loc"]),
            str(error["msg"]),
            _HOW.get(error["type"], "send a value that keeps this rule"),
        )
        for error in errors
    ]


def organization_unknown(ask: Ask) -> Problem:
    item = _item(
        ask, "/org_id", "names no active organization", "use an id that `GET /v1/organizations` of ingest lists"
    )
    detail = f"No active organization has the id {ask.org_id}."
    return problem("organization_unknown", 404, "Organization unknown", detail, item)


def organization_contradicted(ask: Ask) -> Problem:
    item = ProblemItem(
        where="header:ce_orgid",
        what="names another organization than the body",
        how="name one, or leave the header out",
    )
    detail = "The event names two organizations."
    return problem("organization_contradicted", 422, "Organization contradicted", detail, item)


def producer_unknown(ask: Ask) -> Problem:
    item = ProblemItem(
        where="header:ce_source",
        what=f"{_quoted(ask.source)} is no active producer",
        how="let an operator register it with `PUT /v1/producers/<source>` of ingest",
    )
    return problem("producer_unknown", 403, "Producer unknown", "This source may not ask for anything.", item)


def organization_not_allowed(ask: Ask) -> Problem:
    item = _item(ask, "/org_id", "is not this producer's to ask for", "let an operator add it to the producer")
    detail = f"The producer {_quoted(ask.source)} may not ask for organization {ask.org_id}."
    return problem("organization_not_allowed", 403, "Organization not allowed", detail, item)


def kind_not_allowed(ask: Ask) -> Problem:
    item = _item(ask, "/kind", "is not this producer's to ask for", "let an operator add it to the producer")
    detail = f"The producer {_quoted(ask.source)} may not ask for {_quoted(ask.kind)}."
    return problem("kind_not_allowed", 403, "Kind not allowed", detail, item)


def kind_unknown(ask: Ask, known: Iterable[str]) -> Problem:
    item = _item(ask, "/kind", f"{_quoted(ask.kind)} is not known", f"use one of: {', '.join(known)}")
    return problem("kind_unknown", 422, "Kind unknown", "Nothing of this kind can be asked for.", item)


def platform_unknown(ask: Ask, name: str, known: Iterable[str]) -> Problem:
    item = _item(ask, "/payload/platform", f"{_quoted(name)} is not known", f"use one of: {', '.join(known)}")
    return problem("platform_unknown", 422, "Platform unknown", "There is no such platform here.", item)


def request_type_unknown(ask: Ask, platform: str, name: str, known: Iterable[str]) -> Problem:
    what = f"{_quoted(name)} cannot be asked of {platform}"
    item = _item(ask, "/payload/request_type", what, f"use one of: {', '.join(known)}")
    detail = f"{platform} has no such request type here."
    return problem("request_type_unknown", 422, "Request type unknown", detail, item)


def connection_unknown(ask: Ask) -> Problem:
    item = _item(
        ask,
        "/payload/connection_id",
        "names no connection of this organization",
        "use an id that `GET /v1/connections` of asset_sync lists; a new one needs a moment to arrive",
    )
    detail = "The organization has no connection of this id."
    return problem("connection_unknown", 422, "Connection unknown", detail, item)


def connection_not_usable(ask: Ask, connection: KnownConnection) -> Problem:
    item = _item(
        ask,
        "/payload/connection_id",
        f"is {connection.status.value}",
        "give the connection a new token (asset_sync, `POST /v1/connections/{id}/token`), or use another one",
    )
    detail = f"The connection is {connection.status.value}, so nothing can be asked with it."
    return problem("connection_not_usable", 409, "Connection not usable", detail, item)


def connection_of_other_platform(ask: Ask, platform: str, connection: KnownConnection) -> Problem:
    what = f"is a connection of {connection.platform}, not of {platform}"
    item = _item(ask, "/payload/connection_id", what, f"use a connection of {platform}")
    detail = "The connection leads to another platform than the one asked."
    return problem("connection_of_other_platform", 422, "Connection of another platform", detail, item)


def idempotency_key_reused(ask: Ask) -> Problem:
    item = ProblemItem(
        where=ask.places.idempotency_key,
        what="was used before with another body",
        how="use a new key for a new request; repeat the first body to learn what became of it",
    )
    detail = "Another request was accepted under this idempotency key; nothing was done this time."
    return problem("idempotency_key_reused", 422, "Idempotency key used again", detail, item)


def _items(ask: Ask, faults: Sequence[Fault]) -> list[ProblemItem]:
    return [_item(ask, *fault) for fault in faults[:MAX_ITEMS]]


def _item(ask: Ask, where: str, what: str, how: str) -> ProblemItem:
    place = ask.places.object_key if where == "/object_key" else ask.places.body + where
    return ProblemItem(where=place[:MAX_WORDS], what=what[:MAX_WORDS], how=how[:MAX_WORDS])


def _quoted(text: str) -> str:
    return f"'{text[:64]}'"


def _escaped(part: str) -> str:
    return part[:64].replace("~", "~0").replace("/", "~1")
