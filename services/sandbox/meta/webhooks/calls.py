"""Subscribing: the app as a whole (`/{app}/subscriptions`), then each account (`/{account}/subscribed_apps`)."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from services.sandbox.meta.errors import GraphError, bad_parameter
from services.sandbox.meta.operations import GRAPH, GRAPH_INSTAGRAM, GRAPH_THREADS, Context, Operation
from services.sandbox.meta.tokens import THREADS, App
from services.sandbox.meta.versions import CURRENT
from services.sandbox.meta.webhooks.book import Installation, Subscription
from services.sandbox.outbound import NotAllowed, NotHeard

HANDSHAKE_SECONDS = 10.0  # not published
_FALSE = {"false", "0"}
_NEEDED: Mapping[str, str] = {"leadgen": "leads_retrieval", "leadgen_update": "leads_retrieval"}
"""Fields of a page that need another scope beside pages_manage_metadata (T)."""


@cache
def known_names() -> Mapping[str, frozenset[str]]:
    """Object -> fields that can be subscribed to."""
    read = tomllib.loads((Path(__file__).parent / "names.toml").read_text())
    return {name: frozenset(fields.split()) for name, fields in read.items()}


async def _subscribe(context: Context) -> object:
    """Asks the callback first (O); again for the same object: fields are added, the rest is replaced (M)."""
    app = _own_app(context)
    params, book = context.params, context.webhooks.book
    name = _required(params, "object")
    names = known_names().get(name)
    if names is None or (name == "threads") != (app.family == THREADS):
        raise bad_parameter(f"Param object must be one of {{{', '.join(sorted(known_names()))}}}")
    fields = _names(params, "fields", names)
    url, secret = _required(params, "callback_url"), _required(params, "verify_token")
    await ask_callback(context, url, secret)
    version = context.root.rpartition("/")[2]
    before = book.subscriptions.get((app.id, name))
    wanted = {**(before.fields if before else {}), **dict.fromkeys(fields, version or CURRENT)}
    number = before.id if before else context.world.new_id("asset")
    with_values = params.get("include_values", "true").lower() not in _FALSE
    book.subscriptions[app.id, name] = Subscription(app, name, url, secret, wanted, with_values, number)
    return {"success": True}


async def ask_callback(context: Context, url: str, secret: str) -> None:
    """The verification request (O). Raises: GraphError 2200 when the challenge does not come back (T)."""
    challenge = str(context.world.random.randrange(10**8, 2**31))
    asked = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": secret}
    try:
        heard = await context.around.deliveries.ask(url, asked, timeout_seconds=HANDSHAKE_SECONDS)
    except NotAllowed as error:
        raise _unverified(f"the sandbox does not call this address: {error}") from error
    except NotHeard as error:
        raise _unverified(f"curl_errno = 7; curl_error = {error}; HTTP Status Code = 0") from error
    if heard.status != 200:
        raise _unverified(f"HTTP Status Code = {heard.status}")
    if heard.body != challenge.encode():
        raise _unverified("HTTP Status Code = 200; the response does not match the challenge")


def _unverified(what: str) -> GraphError:
    """Code and begin of the text T."""
    return GraphError(400, 2200, f"(#2200) Callback verification failed with the following errors: {what}")


def _subscriptions(context: Context) -> object:
    rows = [
        {
            "object": found.object,
            "callback_url": found.callback_url,
            "active": True,
            "fields": [{"name": name, "version": version} for name, version in found.fields.items()],
        }
        for found in context.webhooks.book.of_app(_own_app(context))
    ]
    return {"data": rows}


def _unsubscribe(context: Context) -> object:
    """Without `object` everything goes (O); without `fields` the whole object."""
    app, params, book = _own_app(context), context.params, context.webhooks.book
    name = params.get("object")
    for found in book.of_app(app):
        if name not in {None, found.object}:
            continue
        gone = set(_names(params, "fields", known_names()[found.object])) if "fields" in params else set(found.fields)
        found.fields = {field: version for field, version in found.fields.items() if field not in gone}
        if not found.fields:
            del book.subscriptions[app.id, found.object]
    return {"success": True}


def _own_app(context: Context) -> App:
    """Raises: GraphError 15 for anything but the app's own token (T)."""
    if context.token.kind != "app":
        raise GraphError(400, 15, "(#15) This method must be called with an app access_token.")
    return context.token.app


def _install_on_page(context: Context) -> object:
    """With the page's own token and `subscribed_fields` (O)."""
    _only_page_token(context)
    fields = _names(context.params, "subscribed_fields", known_names()["page"])
    for field in fields:
        scope = _NEEDED.get(field)
        if scope and scope not in context.token.scopes:
            text = f"(#200) To subscribe to the {field} field, one of these permissions is needed: {scope}"
            raise GraphError(403, 200, text)  # T; status M
    return _install(context, context.token.app, fields)


def _install_on_profile(context: Context) -> object:
    return _install(context, context.token.app, _names(context.params, "subscribed_fields", known_names()["instagram"]))


def _install_on_ads(context: Context) -> object:
    """`app_id` is the app of the token (O: it "should have edit permission to the ad account")."""
    if _required(context.params, "app_id") != context.token.app.id:
        raise bad_parameter("Param app_id must be the app of the access token")  # M
    return _install(context, context.token.app, None)


async def _install_on_whatsapp(context: Context) -> object:
    """Another callback for this account alone is asked first (O)."""
    params = context.params
    override = params.get("override_callback_uri")
    if override:
        await ask_callback(context, override, _required(params, "verify_token"))
    return _install(context, context.token.app, None, override)


def _install(context: Context, app: App, fields: tuple[str, ...] | None, url: str | None = None) -> object:
    context.webhooks.book.installations[context.named.id, app.id] = Installation(app, fields, url)
    return {"success": True}


def _uninstall(context: Context) -> object:
    if context.named.kind == "page":
        _only_page_token(context)
    context.webhooks.book.installations.pop((context.named.id, context.token.app.id), None)
    return {"success": True}


def _installed(context: Context) -> object:
    """Apps on the account: shapes O for ad accounts and WhatsApp, S for pages."""
    rows: list[dict[str, Any]] = []
    for found in context.webhooks.book.on_account(context.named.id):
        node = context.world.nodes[found.app.id]
        shown: dict[str, Any] = {name: node.values[name] for name in ("category", "link", "name", "id")}
        if context.named.kind == "whatsapp":
            data = {name: shown[name] for name in ("link", "name", "id")}
            rows.append({"whatsapp_business_api_data": data})
            if found.callback_url:
                rows[-1]["override_callback_uri"] = found.callback_url
        elif context.named.kind == "ad_account":
            rows.append({"name": shown["name"], "id": shown["id"]})
        else:
            rows.append({**shown, "subscribed_fields": list(found.fields or ())})
    return {"data": rows}


def _only_page_token(context: Context) -> None:
    """Code 210 and text T."""
    if context.token.kind != "page":
        raise GraphError(400, 210, "(#210) A page access token is required to request this resource.")


def _required(params: Mapping[str, str], name: str) -> str:
    value = params.get(name, "").strip()
    if not value:
        raise bad_parameter(f"The parameter {name} is required.")
    return value


def _names(params: Mapping[str, str], name: str, known: frozenset[str]) -> tuple[str, ...]:
    """Words with commas between them, or a JSON list (S). Raises: GraphError 100."""
    text = _required(params, name)
    given: object = text.split(",")
    if text.startswith("["):
        try:
            given = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise bad_parameter(f"Param {name} must be an array.") from error
    words = [str(word).strip() for word in given] if isinstance(given, list) else []
    for number, word in enumerate(words):
        if word not in known:
            raise bad_parameter(f"Param {name}[{number}] must be one of {{{', '.join(sorted(known))}}} - got {word!r}")
    return tuple(dict.fromkeys(words))


_METADATA, _ADS, _WHATSAPP = ("pages_manage_metadata",), ("ads_management",), ("whatsapp_business_management",)
_PROFILE = ("instagram_basic", "instagram_business_basic")
_HOSTS = (GRAPH, GRAPH_INSTAGRAM, GRAPH_THREADS)
"""Instagram Login and Threads are subscribed in the dashboard (O); here their apps' own tokens do it on their hosts."""
OPERATIONS = (
    Operation("meta.app.subscriptions", "GET", "{application}/subscriptions", _subscriptions, hosts=_HOSTS),
    Operation("meta.app.subscriptions.create", "POST", "{application}/subscriptions", _subscribe, hosts=_HOSTS),
    Operation("meta.app.subscriptions.delete", "DELETE", "{application}/subscriptions", _unsubscribe, hosts=_HOSTS),
    *(
        Operation(
            f"meta.{kind}.subscribed_apps{name}", method, f"{{{kind}}}/subscribed_apps", run, hosts, scopes=scopes
        )
        for kind, hosts, scopes, install in (
            ("page", (GRAPH,), _METADATA, _install_on_page),
            ("ad_account", (GRAPH,), _ADS, _install_on_ads),
            ("whatsapp", (GRAPH,), _WHATSAPP, _install_on_whatsapp),
            # With Instagram Login O, with Facebook Login S.
            ("instagram", (GRAPH, GRAPH_INSTAGRAM), _PROFILE, _install_on_profile),
        )
        for name, method, run in (
            ("", "GET", _installed), (".create", "POST", install), (".delete", "DELETE", _uninstall),
        )
    ),
)  # fmt: skip
