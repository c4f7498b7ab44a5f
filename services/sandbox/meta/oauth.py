"""Logging in: dialogs that send a made-up person straight back with a code, and what a code or token is exchanged for.

Nobody sits in front of the dialog: the first person of the world who can log in says yes. `sandbox_user=<id>` chooses
another, `sandbox_deny=true` says no; both are the sandbox's own. Flows and lives O (facebook-login/guides,
instagram-platform/instagram-api-with-instagram-login/business-login, threads/get-started/get-access-tokens).
"""

import base64
import html
from datetime import timedelta
from urllib.parse import urlencode, urlsplit

import orjson

from services.sandbox.exchange import Answer
from services.sandbox.meta.errors import GraphError, bad_parameter, unreadable_token
from services.sandbox.meta.first_tokens import LONG, SCOPES_OF, SHORT
from services.sandbox.meta.operations import GRAPH_INSTAGRAM, GRAPH_THREADS, Context, Operation
from services.sandbox.meta.tokens import FACEBOOK, INSTAGRAM, THREADS, App, Token

FACEBOOK_DIALOG = "www.facebook.com"
INSTAGRAM_DIALOGS = ("www.instagram.com", "api.instagram.com")
THREADS_DIALOG = "www.threads.net"
_FAMILIES = {FACEBOOK_DIALOG: FACEBOOK, THREADS_DIALOG: THREADS, **dict.fromkeys(INSTAGRAM_DIALOGS, INSTAGRAM)}
_LOGGED_IN = {FACEBOOK: "user", INSTAGRAM: "instagram", THREADS: "threads"}
"""Kind of object that logs in."""
_LIVES = {FACEBOOK: timedelta(minutes=10), INSTAGRAM: timedelta(hours=1), THREADS: timedelta(hours=1)}
"""Of a code: one hour and one use for Instagram and Threads (O); how long Facebook's holds is not documented."""
_TAILS = {FACEBOOK: "#_=_", INSTAGRAM: "#_", THREADS: "#_"}  # M
_REFRESHED_AFTER = timedelta(hours=24)  # T quoting O for Instagram, M for Threads
_TRUE = {"true", "1"}


def _dialog(context: Context) -> object:
    """302 to the caller's address with a code, or with the refusal (O)."""
    params, family = context.params, _FAMILIES[context.request.host]
    app = context.tokens.app(params.get("client_id", ""))
    if app is None or app.family != family:
        return _page("Invalid App ID", "The provided app ID does not look like a valid app ID.")
    target = params.get("redirect_uri", "")
    if not _is_address(target):
        return _page("URL blocked", "redirect_uri must be an absolute http or https address.")
    state = {"state": params["state"]} if "state" in params else {}
    if params.get("sandbox_deny", "").lower() in _TRUE:
        denied = {"error": "access_denied", "error_reason": "user_denied", "error_description": "Permissions error"}
        return _redirect(target, {**denied, "error_code": "200", **state}, "")
    scopes = tuple(dict.fromkeys(params.get("scope", "").replace(",", " ").split()))
    unknown = [scope for scope in scopes if scope not in SCOPES_OF[family]]
    if unknown:
        return _page("Invalid Scopes", f"Invalid Scopes: {', '.join(unknown)}.")
    if family == FACEBOOK:
        # A configuration of "Login for Business" carries its own scopes: here all of them (config_id O).
        scopes = SCOPES_OF[family] if "config_id" in params else tuple(dict.fromkeys(("public_profile", *scopes)))
    person = _person(context, family)
    if person is None:
        return _page("Login failed", "There is nobody who could log in.")
    kinds = set(params.get("response_type", "code").replace(",", " ").split()) if family == FACEBOOK else {"code"}
    told = dict(state)
    if "granted_scopes" in kinds:
        told |= {"granted_scopes": ",".join(scopes), "denied_scopes": ""}
    if "code" in kinds or "token" not in kinds:
        told["code"] = context.tokens.make_code(app, person, scopes, target, _LIVES[family])
    if "token" not in kinds:
        return _redirect(target, told, _TAILS[family])
    # Tokens are never in the query: everything goes into the fragment (O).
    token = context.tokens.log_in(app, person, scopes, SHORT)
    told |= {"access_token": token.secret, "expires_in": str(_seconds(SHORT))}
    return _redirect(target, {}, f"#{urlencode(told)}")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and "#" not in text


def _person(context: Context, family: str) -> tuple[str, str] | None:
    kind = _LOGGED_IN[family]
    robots = {token.owner[1] for token in context.tokens.all() if token.kind == "system_user"}
    wanted = context.params.get("sandbox_user")
    for node_id in context.tokens.assets:
        fits = context.world.nodes[node_id].kind == kind and node_id not in robots
        if fits and wanted in {None, node_id}:
            return kind, node_id
    return None


def _redirect(target: str, query: dict[str, str], tail: str) -> Answer:
    sign = "&" if urlsplit(target).query else "?"
    location = f"{target}{sign + urlencode(query) if query else ''}{tail}"
    return Answer(302, b"", [("Location", location)], content_type="text/html; charset=utf-8")


def _page(title: str, text: str) -> Answer:
    """What a person would read; status and texts M."""
    body = f"<!DOCTYPE html><title>{html.escape(title)}</title><h1>{html.escape(title)}</h1><p>{html.escape(text)}</p>"
    return Answer(400, body.encode(), content_type="text/html; charset=utf-8")


def _facebook_token(context: Context) -> object:
    """`oauth/access_token`: a code, an app's own token, or a longer life (O)."""
    params = context.params
    app = _app(context, FACEBOOK)
    grant = params.get("grant_type", "authorization_code")
    if grant == "client_credentials":
        return {"access_token": app.token, "token_type": "bearer"}
    if grant == "fb_exchange_token":
        return _longer(context, app)
    if grant != "authorization_code":
        raise bad_parameter(f"Invalid grant_type: {grant}")  # M
    if not params.get("redirect_uri"):
        raise GraphError(400, 191, "Missing redirect_uri parameter.")  # T
    if not params.get("code"):
        raise GraphError(400, 1, "Missing authorization code")  # T
    code = context.tokens.codes.get(params["code"])
    if code is None or code.app is not app:
        raise _wrong_code("Invalid verification code format.", None)
    if code.used:
        raise _wrong_code("This authorization code has been used.", 36009)
    if code.expires_at <= context.around.clock.now():
        raise _wrong_code("This authorization code has expired.", 36007)
    if code.redirect_uri != params["redirect_uri"]:
        text = (
            "Error validating verification code. Please make sure your redirect_uri is identical to the one you used "
            "in the OAuth dialog request"
        )
        raise _wrong_code(text, 36008)
    code.used = True
    return _told(context.tokens.log_in(app, code.person, code.scopes, SHORT), SHORT)


def _wrong_code(text: str, subcode: int | None) -> GraphError:
    """Code 100; 36009 as in logs of clients (T), 36007 and 36008 from memory (M); the challenge as in a report (T)."""
    challenge = f'OAuth "Facebook Platform" "invalid_code" "{text}"'
    return GraphError(400, 100, text, subcode=subcode, headers=[("WWW-Authenticate", challenge)])


def _longer(context: Context, app: App) -> object:
    """60 days for a user's token (O); for a system user's with `set_token_expires_in_60_days` (T quoting O)."""
    text = context.params.get("fb_exchange_token", "")
    if not text:
        raise bad_parameter("The parameter fb_exchange_token is required.")
    token = context.tokens.find(text)
    if token is None or token.app.family != FACEBOOK:
        raise unreadable_token()
    if token.app is not app:
        raise GraphError(400, 1, f"The access token does not belong to application {app.id}")  # T
    token.check(context.around.clock.now())
    if token.kind not in {"user", "system_user"}:
        raise bad_parameter("Only tokens of users can be exchanged")  # M
    forever = token.kind == "system_user" and "set_token_expires_in_60_days" not in context.params
    made = context.tokens.issue(token, None if forever else LONG)
    return {"access_token": made.secret, "token_type": "bearer"} if forever else _told(made, LONG)


def _revoke(context: Context) -> object:
    """Ends one token (T quoting O: system users)."""
    _app(context, FACEBOOK)
    token = context.tokens.find(context.params.get("revoke_token", ""))
    if token is None or token.app is not context.token.app:
        raise unreadable_token()
    token.revoked_subcode = 467
    return {"success": True}


def _profile_token(context: Context) -> object:
    """A code of Instagram Login or Threads; every refusal in their own form (O: "Sample rejected response")."""
    params, family = context.params, THREADS if context.request.host == GRAPH_THREADS else INSTAGRAM
    app_id, secret = _credentials(context)
    app = context.tokens.app(app_id)
    if app is None or app.family != family or secret != app.secret:
        return _rejected("Invalid platform app" if app is None or app.family != family else "Invalid client_secret")
    grant = params.get("grant_type", "")
    if grant == "client_credentials" and family == THREADS:
        return {"access_token": app.token, "token_type": "bearer"}
    if grant != "authorization_code":
        return _rejected("Invalid grant_type")
    # Who copies the code from the address bar copies the tail with it (M).
    code = context.tokens.codes.get(params.get("code", "").removesuffix("#_"))
    now = context.around.clock.now()
    if code is None or code.app is not app or code.used or code.expires_at <= now:
        return _rejected("Matching code was not found or was already used")
    if code.redirect_uri != params.get("redirect_uri"):
        return _rejected("Error validating verification code. Please make sure your redirect_uri is identical")
    code.used = True
    token = context.tokens.log_in(app, code.person, code.scopes, SHORT)
    told = {"access_token": token.secret, "user_id": code.person[1]}
    if family == THREADS:
        return told
    # The page shows a list (O), clients report the same flat (T): both are in the answer.
    shown = {**told, "permissions": ",".join(code.scopes)}
    return {**told, "permissions": list(code.scopes), "data": [shown]}


def _rejected(text: str) -> Answer:
    """Shape and the text about codes O, the other texts M."""
    body = orjson.dumps({"error_type": "OAuthException", "code": 400, "error_message": text})
    return Answer(400, body)


def _exchange(context: Context) -> object:
    """A short token for one of 60 days (O)."""
    wanted = "th_exchange_token" if context.token.app.family == THREADS else "ig_exchange_token"
    _check_grant(context, wanted)
    if context.params.get("client_secret") != context.token.app.secret:
        raise bad_parameter("Error validating client secret")  # code T
    if context.token.long_lived:
        # Code T, that it is for this reason M.
        text = "Session key invalid. This could be because the session key has an incorrect format"
        raise GraphError(400, 452, text)
    return _told(context.tokens.issue(context.token, LONG), LONG)


def _refresh(context: Context) -> object:
    """60 days more for a long token that is a day old, and not expired (T quoting O); how it is refused is M."""
    family = context.token.app.family
    _check_grant(context, "th_refresh_token" if family == THREADS else "ig_refresh_token")
    basic = "threads_basic" if family == THREADS else "instagram_business_basic"
    if basic not in context.token.scopes:
        raise GraphError(403, 10, f"(#10) This endpoint requires the '{basic}' permission.")
    if not context.token.long_lived:
        raise bad_parameter("Only long-lived access tokens can be refreshed")
    if context.around.clock.now() - context.token.issued_at < _REFRESHED_AFTER:
        raise bad_parameter("The access token must be at least 24 hours old to be refreshed")
    return _told(context.tokens.issue(context.token, LONG), LONG)


def _check_grant(context: Context, wanted: str) -> None:
    if context.token.kind == "app" or context.params.get("grant_type") != wanted:
        raise bad_parameter(f"Param grant_type must be {wanted}")  # M


def _app(context: Context, family: str) -> App:
    """The app that a call names and proves. Raises: GraphError 101 or 1 (T)."""
    app_id, secret = _credentials(context)
    if not app_id:
        raise GraphError(400, 101, "Missing client_id parameter.")
    app = context.tokens.app(app_id)
    if app is None or app.family != family:
        text = "Error validating application. Cannot get application info due to a system error."
        raise GraphError(400, 101, text)
    if secret != app.secret:
        raise GraphError(400, 1, "Error validating client secret.")
    return app


def _credentials(context: Context) -> tuple[str, str]:
    """`client_id` and `client_secret` (O), or both as HTTP Basic: clients built on requests-oauthlib do that (T)."""
    params = context.params
    scheme, _, text = (context.request.headers or {}).get("authorization", "").partition(" ")
    if "client_id" in params or scheme.lower() != "basic":
        return params.get("client_id", ""), params.get("client_secret", "")
    try:
        app_id, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return app_id, secret


def _told(token: Token, life: timedelta) -> dict[str, object]:
    return {"access_token": token.secret, "token_type": "bearer", "expires_in": _seconds(life)}


def _seconds(life: timedelta) -> int:
    return int(life.total_seconds())


_PROFILES = (GRAPH_INSTAGRAM, GRAPH_THREADS)
OPERATIONS = (
    Operation("meta.dialog", "GET", "dialog/oauth", _dialog, hosts=(FACEBOOK_DIALOG,), needs_token=False),
    Operation(
        "meta.authorize", "GET", "oauth/authorize", _dialog, hosts=(*INSTAGRAM_DIALOGS, THREADS_DIALOG),
        needs_token=False,
    ),
    Operation("meta.access_token", "GET", "oauth/access_token", _facebook_token, needs_token=False),
    Operation("meta.access_token.create", "POST", "oauth/access_token", _facebook_token, needs_token=False),
    Operation("meta.revoke", "GET", "oauth/revoke", _revoke),
    Operation(
        "meta.profile_token.create", "POST", "oauth/access_token", _profile_token,
        hosts=("api.instagram.com", GRAPH_THREADS), needs_token=False,
    ),
    Operation(
        "meta.profile_token", "GET", "oauth/access_token", _profile_token, hosts=(GRAPH_THREADS,), needs_token=False
    ),
    Operation("meta.exchange_token", "GET", "access_token", _exchange, hosts=_PROFILES),
    Operation("meta.refresh_token", "GET", "refresh_access_token", _refresh, hosts=_PROFILES),
)  # fmt: skip
