"""The reads that the bus offers of Meta: their parameters, checked and made canonical, and the address of each."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from libs.platforms.base import InvalidParams, PlannedCall
from libs.vocabulary import PlatformName

MAX_FIELDS = 100
MAX_FIELD_CHARS = 1_000
MAX_PAGE_SIZE = 500
"""Our own bound: the largest page of `/me/adaccounts` is not documented."""
DEFAULT_PAGE_SIZE = 25
"""Meta's default `limit` (from memory, unverified), written out so that equal reads have equal keys."""

# Node ids are digits, posts `<page>_<post>`, ad accounts `act_<n>`. Source: "Ad Account" reference, read 2026-11.
_OBJECT_ID = re.compile(r"(?:act_)?[0-9]{1,32}(?:_[0-9]{1,32})?|me")
_BARE_ID = re.compile(r"[0-9]{1,32}")
_ACCOUNT_ID = re.compile(r"(?:act_)?([0-9]{1,32})")
_CURSOR = re.compile(r"[A-Za-z0-9_=-]{1,1000}")
# What a field may be written with. No `=`: `{result=name:$.x}` refers to another item.
_FIELD = re.compile(r"[a-z_][A-Za-z0-9_.,(){}\[\]:\"'| -]*")
# A field or an expansion such as `posts.limit(5){id,message}`, with the text in parentheses and braces taken out. Meta
# calls anything else a syntax error. Source: "Field expansion", read 2026-11; modifiers after braces: from memory.
_PLAIN_FIELD = r"[a-z_][A-Za-z0-9_]*(?:\.[a-z_]+\(\)|\{\})*+"
_ONE_FIELD = re.compile(_PLAIN_FIELD)
_NESTED_FIELDS = re.compile(rf"\{{ *{_PLAIN_FIELD}(?: *, *{_PLAIN_FIELD})*+ *\}}")
_EMPTY = re.compile(r"\( *\)|\{ *\}")
_SECRET_FIELD = re.compile(r"access_token|secret|page_token", re.IGNORECASE)

Errors = list[tuple[str, str, str]]


def plan_read(request_type: str, params: Mapping[str, Any]) -> PlannedCall:
    """Check one read and give its canonical form and key. Raises InvalidParams with everything that is wrong."""
    read = READS.get(request_type)
    if read is None:
        known = ", ".join(sorted(READS))
        raise InvalidParams([("/request_type", f"'{request_type[:64]}' is not a read of meta", f"use one of: {known}")])
    errors: Errors = []
    canonical = read[0](params, errors)
    if errors:
        raise InvalidParams(errors)
    asked = {name: value for name, value in canonical.items() if name != "account_id"}  # the answer is the same
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    key = hashlib.sha256(f"{PlatformName.META}:{request_type}:{text}".encode()).hexdigest()
    return PlannedCall(request_type=request_type, request_key=key, params=canonical)


def relative_url(call: PlannedCall, api_version: str) -> str:
    """Give the batch item's address: version, path and encoded query, no host and no credential."""
    path, query = READS[call.request_type][1](call.params)
    return f"{api_version}/{path}?{urlencode(query)}"


def object_id_of(call: PlannedCall) -> str:
    """Give the object that is read."""
    return str(call.params.get("object_id", "me"))


def account_id_of(call: PlannedCall) -> str | None:
    """Give the ad account, without `act_`, whose budget the read costs as far as its params tell."""
    object_id = object_id_of(call)
    if object_id.startswith("act_"):
        return object_id.removeprefix("act_")
    account_id = call.params.get("account_id")
    return account_id if isinstance(account_id, str) else None


def _get_object(params: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    _only({"object_id", "fields", "account_id"}, params, errors)
    object_id = params.get("object_id")
    if not isinstance(object_id, str) or not _OBJECT_ID.fullmatch(object_id):
        errors.append(
            (
                "/params/object_id",
                "it is missing or no object id",
                "give the id as text: digits, '<page>_<post>', 'act_<digits>' or 'me'",
            )
        )
    read = {"object_id": object_id, "fields": _fields(params, errors)}
    return read if params.get("account_id") is None else {**read, "account_id": _account_id(params, errors)}


def _account_id(params: Mapping[str, Any], errors: Errors) -> str:
    """Read whose ad account's budget a campaign, ad set, ad or creative costs, written without `act_`."""
    given, object_id = params["account_id"], params.get("object_id")
    found = _ACCOUNT_ID.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        errors.append(("/params/account_id", "it is no ad account's id", "give the id as text, with or without 'act_'"))
    elif isinstance(object_id, str) and not _BARE_ID.fullmatch(object_id):
        errors.append(("/params/account_id", "this object is not below an ad account", "leave it out"))
    return found[1] if found is not None else ""


def _get_ad_accounts(params: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    _only({"fields", "limit", "after"}, params, errors)
    limit = params.get("limit", DEFAULT_PAGE_SIZE)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_PAGE_SIZE:
        errors.append(("/params/limit", "it is no page size", f"give a whole number from 1 to {MAX_PAGE_SIZE}"))
    page = {"fields": _fields(params, errors), "limit": limit}
    after = params.get("after")
    if after is None:
        return page
    if not isinstance(after, str) or not _CURSOR.fullmatch(after):
        errors.append(("/params/after", "it is no cursor", "give `paging.cursors.after` of the page before"))
    return {**page, "after": after}


def _only(known: set[str], params: Mapping[str, Any], errors: Errors) -> None:
    for name in sorted(set(params) - known):
        pointer = "/params/" + name[:64].replace("~", "~0").replace("/", "~1")
        errors.append((pointer, "this request type has no such parameter", f"use only: {', '.join(sorted(known))}"))


def _fields(params: Mapping[str, Any], errors: Errors) -> list[str]:
    """Read the list of fields; their order says nothing, so it is sorted."""
    fields = params.get("fields")
    if not isinstance(fields, list) or not 1 <= len(fields) <= MAX_FIELDS:
        errors.append(("/params/fields", "it is no list of fields", f"give 1 to {MAX_FIELDS} field names as a list"))
        return []
    for index, name in enumerate(fields):
        wrong = _wrong_field(name)
        if wrong is not None:
            errors.append((f"/params/fields/{index}", *wrong))
    return [] if errors else sorted(set(fields))


def _wrong_field(name: object) -> tuple[str, str] | None:
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_FIELD_CHARS or not _FIELD.fullmatch(name):
        return "it is no field name", "give a field, or an expansion such as 'posts.limit(5){id,message}'"
    if not _is_balanced(name):
        return (
            "its brackets do not match, or a comma stands outside of them",
            "give one field or one expansion per entry",
        )
    if not _is_field(name):
        return "Meta cannot read it", "give a field, or an expansion such as 'posts.limit(5){id,message}'"
    if _SECRET_FIELD.search(name):
        return "it would put a credential into the result", "leave it out; credentials are kept by connections"
    return None


def _is_balanced(name: str) -> bool:
    """Tell whether brackets close in order and no comma stands outside of them: one entry is one field."""
    pairs = {")": "(", "}": "{", "]": "["}
    opened: list[str] = []
    for character in name:
        if character in pairs.values():
            opened.append(character)
        elif character in pairs:
            if not opened or opened.pop() != pairs[character]:
                return False
        elif character == "," and not opened:
            return False
    return not opened


def _is_field(name: str) -> bool:
    """Tell whether balanced text is one field: what stands in parentheses may be anything, the rest is names."""
    if _EMPTY.search(name):
        return False
    text, depth = "", 0
    for character in name:
        depth -= character == ")"
        text += character if depth == 0 else ""
        depth += character == "("
    while (shorter := _NESTED_FIELDS.sub("{}", text)) != text:
        text = shorter
    return _ONE_FIELD.fullmatch(text) is not None


def _object_address(params: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    return params["object_id"], {"fields": ",".join(params["fields"])}


def _ad_accounts_address(params: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    query = {"fields": ",".join(params["fields"]), "limit": str(params["limit"])}
    return "me/adaccounts", query if "after" not in params else {**query, "after": params["after"]}


Check = Callable[[Mapping[str, Any], Errors], dict[str, Any]]
Address = Callable[[Mapping[str, Any]], tuple[str, dict[str, str]]]
READS: Mapping[str, tuple[Check, Address]] = {
    "get_object": (_get_object, _object_address),
    "get_ad_accounts": (_get_ad_accounts, _ad_accounts_address),
}
