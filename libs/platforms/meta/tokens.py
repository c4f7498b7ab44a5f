"""What Meta says of tokens, and how one becomes another.

Three logins with hosts, apps' secrets and tokens of their own (`Credential.login`): Facebook's (None), Instagram's,
Threads'. Sources, read 2026-11, where no other mark is given:
 - Facebook: "Get long-lived tokens", "Install apps, generate, refresh and revoke tokens" (system users). A long token
   lives about 60 days. There is no refresh: a token that still lives is exchanged; whether that prolongs a long user's
   token without a new sign-in is not documented. A page's token has no end and an app's neither: nothing to refresh.
 - Instagram: "Business Login for Instagram", "Access token", "Refresh access token". Long tokens live 60 days and can
   be refreshed when they are 24 hours old and not expired.
 - Threads: "Get access tokens", "Long-lived access tokens". The same rule of 24 hours.
An old token lives on beside the new one (from memory, unverified), so that asking again after a lost answer is
harmless; a code of a sign-in counts once.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from libs.platforms.base import AssetCredential, CodeGrant, Credential, IssuedToken, TokenFacts
from libs.platforms.errors import (
    AuthExpired,
    AuthRevoked,
    ContractBroken,
    PermissionMissing,
    PlatformError,
    Rejected,
)
from libs.platforms.meta.client import GraphClient
from libs.platforms.meta.failures import platform_error
from libs.platforms.meta.settings import GraphHost, host_of
from libs.platforms.meta.wire import (
    DebugTokenAnswer,
    GraphError,
    InstagramMe,
    PageTokenAnswer,
    TokenAnswer,
    TokenData,
    TokenListAnswer,
)
from libs.vocabulary import AccountRef, PlatformName

INSPECT, EXCHANGE, LENGTHEN, REFRESH, PAGE = (
    "debug_token",
    "exchange_code",
    "lengthen_token",
    "refresh_token",
    "page_token",
)
SHORT_USER = "short_user"
"""Kind of a token that could not be exchanged for a long one yet: `refresh` does it."""
_REFRESHABLE = frozenset({"user", SHORT_USER, "system_user"})
_GRANTS: Mapping[GraphHost, tuple[str, str]] = {
    GraphHost.INSTAGRAM: ("ig_exchange_token", "ig_refresh_token"),
    GraphHost.THREADS: ("th_exchange_token", "th_refresh_token"),
}
"""Words for making a short token long, and a long one live on."""
_PAGE_ID = re.compile(r"[0-9]{1,32}")

Model = TypeVar("Model", bound=BaseModel)


class MetaTokens:
    """Looks at tokens, exchanges and refreshes them; see `libs.platforms.base.Tokens`."""

    def __init__(self, client: GraphClient) -> None:
        self._client = client

    async def inspect(self, credential: Credential) -> TokenFacts:
        """Ask what the token is. A dead token gives `valid=False`; an error means that nothing was learned.

        Instagram's login has no such question: whether the token can read its own account tells that it lives and
        whose it is, nothing else. Raises a PlatformError; Rejected when the credential's app or its secret is not
        configured here.
        Source: "Debug-Token" reference; Threads' "Debug", where an app's own token as asker is from memory.
        """
        host = host_of(credential)
        if host is GraphHost.INSTAGRAM:
            return await self._inspect_instagram(credential)
        app_id, secret = self._app(INSPECT, credential.app_id, credential)
        asker = Credential(f"{app_id}|{secret}", app_id, secret)
        if host is GraphHost.THREADS:  # its form of an app's token; whether it takes proofs is not documented
            asker = Credential(f"TH|{app_id}|{secret}", app_id, secret, credential.login)
        params = {"input_token": credential.access_token}
        found = await self._client.read(INSPECT, "debug_token", params, credential=asker)
        return _facts(_read(INSPECT, DebugTokenAnswer, found.body).data)

    async def exchange_code(self, grant: CodeGrant) -> IssuedToken:
        """Turn a sign-in's code into a long token, in two calls.

        When only the second one fails the short token is given, as of kind `short_user`: it lives an hour or two, and
        `refresh` makes it long. Raises a PlatformError; Rejected for a code that was used, is too old, or came with
        another redirect address; OutcomeUnknown when no answer came, or none that says anything: the code may be spent.
        """
        host = host_of(Credential("", login=grant.login))
        app_id, secret = self._app(EXCHANGE, grant.app_id, None)
        short = await self._sign_in(host, app_id, secret, grant)
        credential = Credential(short.access_token, app_id, secret, grant.login)
        try:
            long = await self._lengthen(host, app_id, secret, credential, LENGTHEN)
        except PlatformError:
            return _issued(short, SHORT_USER)
        return _issued(long, "user", short)

    async def refresh(self, credential: Credential, *, kind: str = "user") -> IssuedToken:
        """Exchange a living token for one that lives longer; the old one is not ended by it.

        `kind` is `TokenFacts.kind` or `IssuedToken.kind`. Instagram and Threads refuse tokens younger than 24 hours.
        Safe to call again. Raises a PlatformError: AuthExpired when it is too late and the owner must sign in again,
        Rejected for kinds that are never refreshed.
        """
        if kind not in _REFRESHABLE:
            words = f"a token of kind {kind!r} is not refreshed: it has no end, or is asked for anew"
            raise Rejected(PlatformName.META, REFRESH, words)
        host = host_of(credential)
        if host is GraphHost.FACEBOOK or kind == SHORT_USER:
            app_id, secret = self._app(REFRESH, credential.app_id, credential)
            expiring = kind == "system_user"
            made = await self._lengthen(host, app_id, secret, credential, REFRESH, expiring_system_user=expiring)
        else:
            params = {"grant_type": _GRANTS[host][1], "access_token": credential.access_token}
            found = await self._client.read(REFRESH, "refresh_access_token", params, host=host, versioned=False)
            made = _read(REFRESH, TokenAnswer, found.body)
        return _issued(made, "user" if kind == SHORT_USER else kind)

    async def asset_credential(self, credential: Credential, asset: AccountRef) -> AssetCredential:
        """Ask for a page's own token. It has no end while the token that asked is a long one or a system user's.

        Raises a PlatformError: PermissionMissing when the asker has no task on the page, Rejected for anything but a
        page. Source: "Page access tokens", read 2026-11.
        """
        if asset.type != "page" or not _PAGE_ID.fullmatch(asset.id):
            raise Rejected(PlatformName.META, PAGE, f"{asset.type} has no token of its own, only pages have")
        found = await self._client.read(PAGE, asset.id, {"fields": "access_token"}, credential=credential)
        answer = _read(PAGE, PageTokenAnswer, found.body)
        if answer.id != asset.id:
            raise ContractBroken(PlatformName.META, PAGE, "the answer is about another page")
        if answer.access_token is None:
            raise PermissionMissing(PlatformName.META, PAGE, "the token's owner has no task on this page")
        return AssetCredential(asset, answer.access_token, credential.app_id)

    async def _inspect_instagram(self, credential: Credential) -> TokenFacts:
        """Source: "Instagram API with Instagram Login: get started", read 2026-11."""
        try:
            found = await self._client.read(INSPECT, "me", {"fields": "user_id,username"}, credential=credential)
        except (AuthExpired, AuthRevoked) as error:
            return TokenFacts(False, "user", credential.app_id, (), None, None, problem=error.code)
        owner = _read(INSPECT, InstagramMe, found.body)
        return TokenFacts(True, "user", credential.app_id, (), None, owner.user_id)

    async def _sign_in(self, host: GraphHost, app_id: str, secret: str, grant: CodeGrant) -> TokenAnswer:
        # Instagram and Threads end the address that the code came with in `#_` (from memory, unverified).
        code = grant.code.removesuffix("#_")
        params = {"client_id": app_id, "client_secret": secret, "redirect_uri": grant.redirect_uri, "code": code}
        path = "oauth/access_token"
        if host is GraphHost.FACEBOOK:
            found = await self._client.read(EXCHANGE, path, params, host=host, counts_once=True)
            return _read(EXCHANGE, TokenAnswer, found.body)
        params["grant_type"] = "authorization_code"
        where = GraphHost.INSTAGRAM_LOGIN if host is GraphHost.INSTAGRAM else host
        method: Literal["POST"] = "POST"
        found = await self._client.read(
            EXCHANGE, path, params, method=method, host=where, versioned=False, counts_once=True
        )
        if "data" in found.body:
            return _read(EXCHANGE, TokenListAnswer, found.body).data[0]
        return _read(EXCHANGE, TokenAnswer, found.body)

    async def _lengthen(
        self,
        host: GraphHost,
        app_id: str,
        secret: str,
        credential: Credential,
        operation: str,
        *,
        expiring_system_user: bool = False,
    ) -> TokenAnswer:
        token = credential.access_token
        if host is GraphHost.FACEBOOK:
            params = {
                "grant_type": "fb_exchange_token",
                "client_id": app_id,
                "client_secret": secret,
                "fb_exchange_token": token,
                **({"set_token_expires_in_60_days": "true"} if expiring_system_user else {}),
            }
            found = await self._client.read(operation, "oauth/access_token", params, host=host)
        else:
            params = {"grant_type": _GRANTS[host][0], "client_secret": secret, "access_token": token}
            found = await self._client.read(operation, "access_token", params, host=host, versioned=False)
        return _read(operation, TokenAnswer, found.body)

    def _app(self, operation: str, app_id: str | None, credential: Credential | None) -> tuple[str, str]:
        """Give the app and its secret. Raises Rejected when they are not configured."""
        secret = self._client.settings.app_secret(credential or Credential("", app_id))
        if app_id is None or secret is None:
            words = f"no secret of app {app_id} is configured; set META_APP_SECRETS"
            raise Rejected(PlatformName.META, operation, words)
        return app_id, secret


def _read(operation: str, model: type[Model], body: Mapping[str, Any]) -> Model:
    try:
        return model.model_validate(body)
    except ValidationError:
        # Without a cause: it would quote the token.
        words = f"the answer is not of the form of {model.__name__}"
        raise ContractBroken(PlatformName.META, operation, words) from None


def _facts(data: TokenData) -> TokenFacts:
    return TokenFacts(
        valid=data.is_valid,
        kind=(data.type or "unknown").lower(),
        app_id=data.app_id,
        scopes=data.scopes,
        expires_at_unix=data.expires_at or None,  # 0 means never
        owner_id=data.user_id or data.profile_id,
        issued_at_unix=data.issued_at or None,
        data_access_expires_at_unix=data.data_access_expires_at or None,
        targets={each.scope: each.target_ids for each in data.granular_scopes if each.target_ids is not None},
        problem=None if data.is_valid else _problem(data),
    )


def _problem(data: TokenData) -> str:
    if data.error is None:
        return AuthExpired.code
    error = GraphError(message=data.error.message, code=data.error.code, error_subcode=data.error.subcode)
    return platform_error(INSPECT, 400, error, wait_seconds=0.0).code


def _issued(made: TokenAnswer, kind: str, first: TokenAnswer | None = None) -> IssuedToken:
    """Make our record; what the sign-in's first answer told counts for the second too."""
    told = first or made
    listed = told.permissions or ()
    scopes = tuple(listed.split(",")) if isinstance(listed, str) else listed
    return IssuedToken(
        access_token=made.access_token,
        kind=kind,
        expires_in_seconds=made.expires_in or None,  # 0 would be a token that is dead already
        scopes=tuple(scope.strip() for scope in scopes if scope.strip()),
        owner_id=made.user_id or told.user_id,
    )
