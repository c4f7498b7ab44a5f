"""The reads that the bus offers of Meta: their parameters, checked and made canonical, and the call that each becomes.

`get_object` reads one object. `list_edge` reads a page of what belongs to one: assets of a person or business,
campaigns of an ad account, posts of a page. `get_ad_accounts` is the same for the person's ad accounts, under its older
name.
`get_insights` reads a page of an ad object's statistics (`insights`).
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from libs.platforms.base import Credential, InvalidParams, PlannedCall
from libs.platforms.meta import insights
from libs.platforms.meta.edges import AD_EDGES, EDGES, MAX_PAGE_SIZE
from libs.platforms.meta.fields import Errors, as_json, read_fields, read_filtering, read_page_params, read_words
from libs.platforms.meta.packing import Item
from libs.platforms.meta.quota import ADS_INSIGHTS, ADS_MANAGEMENT, Subject
from libs.vocabulary import PlatformName

# Node ids are digits, posts `<page>_<post>`, ad accounts `act_<n>`. Source: "Ad Account" reference, read 2026-11.
_OBJECT_ID = re.compile(r"(?:act_)?[0-9]{1,32}(?:_[0-9]{1,32})?|me")
_BARE_ID = re.compile(r"[0-9]{1,32}")
_ACCOUNT_ID = re.compile(r"(?:act_)?([0-9]{1,32})")

Check = Callable[[Mapping[str, Any], Errors], dict[str, Any]]
Address = Callable[[Mapping[str, Any]], tuple[str, dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Read:
    """One type of read."""

    check: Check
    """Makes the params canonical, and adds what is wrong with them to the errors."""
    address: Address
    """Path and query, without version and credential, of canonical params."""
    is_list: bool = False
    budget: str = ADS_MANAGEMENT
    """What it costs when it is about an ad account."""


def plan_read(request_type: str, params: Mapping[str, Any]) -> PlannedCall:
    """Check one read and give its canonical form and key. Raises InvalidParams with everything that is wrong."""
    read = READS.get(request_type)
    if read is None:
        known = ", ".join(sorted(READS))
        raise InvalidParams([("/request_type", f"'{request_type[:64]}' is not a read of meta", f"use one of: {known}")])
    errors: Errors = []
    canonical = read.check(params, errors)
    if errors:
        raise InvalidParams(errors)
    asked = {name: value for name, value in canonical.items() if name != "account_id"}  # the answer is the same
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    key = hashlib.sha256(f"{PlatformName.META}:{request_type}:{text}".encode()).hexdigest()
    return PlannedCall(request_type=request_type, request_key=key, params=canonical)


def item_of(call: PlannedCall, credential: Credential) -> Item:
    """Give the call that reads it, ready to share a request with others."""
    read = READS[call.request_type]
    path, query = read.address(call.params)
    return Item(call.request_type, path, query, credential, is_list=read.is_list, about=subject_of(call))


def subject_of(call: PlannedCall) -> Subject:
    """Give what the read is about: the object, and the ad account whose budget it costs as far as its params tell."""
    object_id = str(call.params.get("object_id", "me"))
    given = call.params.get("account_id")
    account_id = object_id.removeprefix("act_") if object_id.startswith("act_") else given
    return Subject(object_id, account_id if isinstance(account_id, str) else None, READS[call.request_type].budget)


def _get_object(params: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    _only({"object_id", "fields", "account_id"}, params, errors)
    object_id = _object_id(params, errors)
    return _with_account({"object_id": object_id, "fields": read_fields(params, errors)}, params, errors)


def _list_edge(params: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    _only(
        {"object_id", "edge", "fields", "limit", "after", "effective_status", "filtering", "account_id"}, params, errors
    )
    edge = params.get("edge")
    if not isinstance(edge, str) or edge not in EDGES:
        errors.append(
            ("/params/edge", "it is no list that can be read here", f"use one of: {', '.join(sorted(EDGES))}")
        )
        edge = ""
    read: dict[str, Any] = {
        "object_id": _object_id(params, errors),
        "edge": edge,
        "fields": read_fields(params, errors),
    }
    read |= read_page_params(params, errors, largest=EDGES.get(edge, MAX_PAGE_SIZE))
    for name in ("effective_status", "filtering"):
        if name in params and edge not in AD_EDGES:
            errors.append((f"/params/{name}", "this list has no such filter", "leave it out"))
    if "effective_status" in params:
        read["effective_status"] = read_words("effective_status", params, errors)
    if "filtering" in params:
        read["filtering"] = read_filtering(params, errors)
    return _with_account(read, params, errors)


def _get_ad_accounts(params: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    _only({"fields", "limit", "after"}, params, errors)
    fields = read_fields(params, errors)
    return {"fields": fields, **read_page_params(params, errors, largest=MAX_PAGE_SIZE)}


def _get_insights(params: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    _only({"object_id", "account_id", *insights.PARAMS}, params, errors)
    read = {"object_id": _object_id(params, errors, of_ads=True)}
    return _with_account(read | insights.read_params(params, errors), params, errors)


def _object_id(params: Mapping[str, Any], errors: Errors, *, of_ads: bool = False) -> str:
    object_id = params.get("object_id")
    fits = isinstance(object_id, str) and _OBJECT_ID.fullmatch(object_id)
    if not fits or (of_ads and (object_id == "me" or "_" in str(object_id).removeprefix("act_"))):
        forms = "digits or 'act_<digits>'" if of_ads else "digits, '<page>_<post>', 'act_<digits>' or 'me'"
        errors.append(("/params/object_id", "it is missing or no object id", f"give the id as text: {forms}"))
    return str(object_id)


def _with_account(read: dict[str, Any], params: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    """Add whose ad account's budget a campaign, ad set, ad or creative costs, written without `act_`."""
    given, object_id = params.get("account_id"), params.get("object_id")
    if given is None:
        return read
    found = _ACCOUNT_ID.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        errors.append(("/params/account_id", "it is no ad account's id", "give the id as text, with or without 'act_'"))
    elif isinstance(object_id, str) and not _BARE_ID.fullmatch(object_id):
        errors.append(("/params/account_id", "this object is not below an ad account", "leave it out"))
    return {**read, "account_id": found[1] if found is not None else ""}


def _only(known: set[str], params: Mapping[str, Any], errors: Errors) -> None:
    for name in sorted(set(params) - known):
        pointer = "/params/" + name[:64].replace("~", "~0").replace("/", "~1")
        errors.append((pointer, "this request type has no such parameter", f"use only: {', '.join(sorted(known))}"))


def _object_address(params: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    return params["object_id"], {"fields": ",".join(params["fields"])}


def _edge_address(params: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    query = {"fields": ",".join(params["fields"]), "limit": str(params["limit"])}
    query |= {name: as_json(params[name]) for name in ("effective_status", "filtering") if name in params}
    path = f"{params.get('object_id', 'me')}/{params.get('edge', 'adaccounts')}"
    return path, query if "after" not in params else {**query, "after": params["after"]}


def _insights_address(params: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    return f"{params['object_id']}/insights", insights.query_of(params)


READS: Mapping[str, Read] = {
    "get_object": Read(_get_object, _object_address),
    "get_ad_accounts": Read(_get_ad_accounts, _edge_address, is_list=True),
    "list_edge": Read(_list_edge, _edge_address, is_list=True),
    "get_insights": Read(_get_insights, _insights_address, is_list=True, budget=ADS_INSIGHTS),
}
