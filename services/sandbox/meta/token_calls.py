"""Calls about tokens and apps: what a token is, what it may do, taking that back, tokens of system users."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from services.sandbox.meta.errors import bad_parameter, missing_permission
from services.sandbox.meta.first_tokens import LONG, SCOPES_OF
from services.sandbox.meta.operations import GRAPH, GRAPH_INSTAGRAM, GRAPH_THREADS, Context, Operation
from services.sandbox.meta.tokens import DATA_ACCESS, Token
from services.sandbox.meta.world import Node

_DEBUG_TYPES = {"user": "USER", "page": "PAGE", "system_user": "SYSTEM_USER", "app": "APP"}
_TARGETS: Mapping[str, str] = {
    "business_management": "business", "ads_": "ad_account", "pages_": "page", "leads_": "page",
    "read_insights": "page", "instagram_": "instagram", "catalog_": "catalog", "whatsapp_": "whatsapp",
}  # fmt: skip
"""How a scope begins -> the kind of account that it is granted for."""
_TRUE = {"true", "1"}


def debug_data(token: Token | None, nodes: Mapping[str, Node], now: datetime) -> dict[str, Any]:
    """`data` of debug_token (shape T; `profile_id`, `granular_scopes` and `error` M). 0 means never."""
    if token is None:
        text = "The access token could not be decrypted"
        return {"error": {"code": 190, "message": text}, "is_valid": False, "scopes": []}
    state = token.state(now)
    data: dict[str, Any] = {
        "app_id": token.app.id,
        "type": _DEBUG_TYPES[token.kind],
        "application": token.app.name,
        "data_access_expires_at": 0,
        "expires_at": _unix(token.expires_at),
        "is_valid": state == "valid",
        "issued_at": _unix(token.issued_at),
        "scopes": list(token.scopes),
    }
    if token.kind in {"user", "page"}:
        data["data_access_expires_at"] = _unix((token.login_at or token.issued_at) + DATA_ACCESS)
    if token.kind == "app":
        del data["data_access_expires_at"], data["issued_at"]
        return data
    if token.kind == "page":
        data["profile_id"] = token.owner[1]
    data["user_id"] = token.person
    granular = [{"scope": scope, **_targets(scope, token, nodes)} for scope in token.scopes]
    data["granular_scopes"] = granular
    if state == "expired":
        data["error"] = {"code": 190, "message": "Error validating access token: Session has expired.", "subcode": 463}
    elif token.revoked_subcode is not None:
        text = "Error validating access token: The session has been invalidated."
        data["error"] = {"code": 190, "message": text, "subcode": token.revoked_subcode}
    return data


def _unix(moment: datetime | None) -> int:
    return int(moment.timestamp()) if moment else 0


def _targets(scope: str, token: Token, nodes: Mapping[str, Node]) -> dict[str, list[str]]:
    """Ids of the accounts that a scope is granted for; ad accounts without `act_` (M)."""
    kind = next((kind for begin, kind in _TARGETS.items() if scope.startswith(begin)), None)
    if kind is None:
        return {}
    seen = sorted(node_id for node_id in token.sees if node_id in nodes and nodes[node_id].kind == kind)
    return {"target_ids": [node_id.removeprefix("act_") for node_id in seen]}


def _debug(context: Context) -> object:
    inspected = context.params.get("input_token")
    if not inspected:
        raise bad_parameter("The parameter input_token is required.")
    found = context.tokens.find(inspected)
    if found and found.app.id != context.token.app.id:
        raise bad_parameter("The App_id in the input_token did not match the Viewing App")
    return {"data": debug_data(found, context.world.nodes, context.around.clock.now())}


def _app(context: Context) -> object:
    return context.reader.object(context.world.nodes[context.token.app.id], context.params)


def _permissions(context: Context) -> object:
    """Granted and declined scopes (O); `permission` and `status` filter them (S)."""
    token = context.token
    rows = [{"permission": scope, "status": "granted"} for scope in token.scopes]
    rows += [
        {"permission": scope, "status": "declined"} for scope in context.tokens.declined(token.app.id, token.person)
    ]
    wanted = {name: context.params[name] for name in ("permission", "status") if name in context.params}
    return {"data": [row for row in rows if all(row[name] == value for name, value in wanted.items())]}


def _withdraw(context: Context) -> object:
    """Without a permission the app loses everything (O); it may be a parameter (S) or the end of the path (O)."""
    token, tokens = context.token, context.tokens
    scope = context.params.get("permission") or context.edge.partition("/")[2]
    if not scope:
        tokens.revoke(token.app.id, token.person)
    elif scope not in token.scopes:
        raise bad_parameter(f"Cannot revoke permission {scope}: it was not granted")  # M
    else:
        tokens.decline(token.app.id, token.person, scope)
    for field in [scope] if scope else ["connected", *token.scopes]:
        # Object, fields and verb O (graph-api/webhooks/reference/permissions).
        context.webhooks.tell("permissions", context.named, field, {"verb": "revoked"}, only=token.app)
    return {"success": True}


def _system_users(context: Context) -> object:
    """Robots of a business (S); who made them is not in the world."""
    robots = {token.owner[1] for token in context.tokens.all() if token.kind == "system_user"}
    found = [context.world.nodes[node_id] for node_id in sorted(robots)]
    rows = [robot for robot in found if _belongs(context, robot, context.named)]
    return {"data": [{"id": robot.id, "name": robot.title, "role": "ADMIN"} for robot in rows]}


def _business_token(context: Context) -> object:
    """A token for a system user of the business, who is named by id (S)."""
    wanted = context.params.get("system_user_id", "")
    robot = context.world.nodes.get(wanted)
    if robot is None or robot.kind != "user" or not _belongs(context, robot, context.named):
        raise bad_parameter("Param system_user_id must be the id of a system user of this business")
    return _system_token(context, robot)


def _robot_token(context: Context) -> object:
    """A system user's own call for another token; the app may be named (S)."""
    named = context.params.get("business_app", context.token.app.id)
    if named != context.token.app.id:
        raise bad_parameter("Param business_app must be the app of the access token")  # M
    return _system_token(context, context.named)


def _system_token(context: Context, robot: Node) -> object:
    """The proof is required (T); so are scopes (S). Without the 60 days it has no end (T)."""
    token = context.token
    like = next((known for known in context.tokens.all() if known.owner == ("user", robot.id)), None)
    if token.kind not in {"user", "system_user"} or like is None or like.kind != "system_user":
        raise missing_permission("business", ("business_management",))
    if "appsecret_proof" not in context.params:
        raise bad_parameter("The parameter appsecret_proof is required")  # M
    scopes = _words(context.params.get("scope", ""))
    unknown = [scope for scope in scopes if scope not in SCOPES_OF[token.app.family]]
    if unknown or not scopes:
        raise bad_parameter(f"Param scope must be a list of permissions{': ' + unknown[0] if unknown else ''}")
    for_days = context.params.get("set_token_expires_in_60_days", "").lower() in _TRUE
    made = context.tokens.system_token(token.app, robot.id, scopes, LONG if for_days else None)
    return {"access_token": made.secret, **({"expires_in": int(LONG.total_seconds())} if for_days else {})}


def _end_robot_tokens(context: Context) -> object:
    """Ends every token of the system user for this app (S; that it is for one app M)."""
    context.tokens.revoke(context.token.app.id, context.named.id)
    return {"success": True}


def _belongs(context: Context, robot: Node, business: Node) -> bool:
    return any(found.id == business.id for found in context.world.listed(robot, "businesses"))


def _words(text: str) -> tuple[str, ...]:
    """A JSON list, or words with commas between them."""
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        given = text.split(",")
    if not isinstance(given, list) or not all(isinstance(word, str) for word in given):
        raise bad_parameter("Param scope must be a list of permissions")
    return tuple(word.strip() for word in given if word.strip())


_BUSINESS = ("business_management",)
OPERATIONS = (
    Operation("meta.debug_token", "GET", "debug_token", _debug, hosts=(GRAPH, GRAPH_INSTAGRAM, GRAPH_THREADS)),
    Operation("meta.app", "GET", "app", _app),
    Operation("meta.user.permissions", "GET", "{user}/permissions", _permissions),
    Operation("meta.user.permissions.delete", "DELETE", "{user}/permissions", _withdraw),
    Operation("meta.user.permissions.delete_one", "DELETE", "{user}/permissions/{word}", _withdraw),
    Operation("meta.business.system_users", "GET", "{business}/system_users", _system_users, scopes=_BUSINESS),
    Operation(
        "meta.business.system_user_access_tokens.create", "POST", "{business}/system_user_access_tokens",
        _business_token, scopes=_BUSINESS,
    ),
    Operation("meta.user.access_tokens.create", "POST", "{user}/access_tokens", _robot_token, scopes=_BUSINESS),
    Operation("meta.user.access_tokens.delete", "DELETE", "{user}/access_tokens", _end_robot_tokens, scopes=_BUSINESS),
)  # fmt: skip
