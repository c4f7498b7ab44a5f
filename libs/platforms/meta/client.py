"""Speaking to the Graph API: one place for credentials, time limits and the meaning of error codes.

Nothing of httpx or pydantic leaves this module, and no error's text holds a token, a secret or a body.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx
from pydantic import ValidationError

from libs.platforms.base import Credential
from libs.platforms.errors import (
    AuthExpired,
    AuthRevoked,
    ContractBroken,
    Misconfigured,
    OutcomeUnknown,
    PermissionMissing,
    PlatformError,
    RateLimited,
    Rejected,
    Unavailable,
)
from libs.platforms.meta.settings import MetaSettings
from libs.platforms.meta.wire import GraphError, GraphErrorAnswer
from libs.telemetry.redaction import MARK, redact_text
from libs.vocabulary import PlatformName, QuotaScope

MAX_MESSAGE_CHARS = 500

# Codes that say a budget is used up. Meta answers them with 400 or 403, hardly ever 429 (third party).
# Source: "Graph API rate limiting", read 2026-11.
THROTTLE_CODES = frozenset({4, 17, 32, 341, 613, *range(80_000, 80_015)})

# What to do by code and subcode; the pair is looked up first. Source: "Handling errors" of the Graph API guides and
# "Graph API rate limiting", read 2026-11, where no other mark is given.
ERRORS_BY_SUBCODE: Mapping[tuple[int, int], type[PlatformError]] = {
    (100, 33): Rejected,  # object missing or not permitted (third party)
    (190, 458): AuthRevoked,  # the user removed the app
    (190, 459): AuthRevoked,  # the user must fix the account at Meta first
    (190, 460): AuthRevoked,  # password changed
    (190, 463): AuthExpired,
    (190, 464): AuthRevoked,  # the user is unconfirmed
    (190, 467): AuthExpired,  # invalidated; an exchanged token may exist by now
    (190, 492): PermissionMissing,  # lost the role on the page; the user's token may be fine
    (200, 1870034): PermissionMissing,  # terms of custom audiences not accepted
    (368, 4854002): PermissionMissing,  # identity to be confirmed by a person (third party)
    (368, 1404082): Rejected,  # same content repeated (third party)
}
ERRORS_BY_CODE: Mapping[int, type[PlatformError]] = {
    1: Unavailable,
    2: Unavailable,
    3: PermissionMissing,  # the app lacks a capability
    10: PermissionMissing,
    100: Rejected,
    102: AuthExpired,
    104: Unavailable,  # bad proof (from memory, unverified) or connection reset (third party): bounded tries
    190: AuthExpired,
    368: RateLimited,  # blocked for a time
    506: Rejected,
    960: Unavailable,  # batch aborted, this item was not done (third party)
    # A `fields` text or path that Meta cannot read (third party: node-facebook/facebook-node-sdk#123,
    # arsduo/koala#611); with NOBODY_ASKS in its message it says something else.
    2500: Rejected,
    2635: Misconfigured,  # version retired: a newer one must be deployed (third party)
    3001: Rejected,
    1487390: Rejected,  # its meaning is contradictory in others' code
    1487901: Rejected,
    1609005: Rejected,
    1885272: Rejected,
}
UNKNOWN_ERROR_SUBCODE = 99  # third party: retried under whatever code
TOO_MUCH_DATA = "reduce the amount of data"  # code 1 with this text: the same request fails again (third party)
NOBODY_ASKS = "active access token"  # code 2500 with this text: no usable token (third party: jgorset/facepy#135)
PROOF = "appsecret_proof"  # code 100 with this text: the app's secret here is wrong or missing (third party)
KINDS_BY_TEXT: Sequence[tuple[int, str, type[PlatformError]]] = (
    (1, TOO_MUCH_DATA, Rejected),
    (100, PROOF, Misconfigured),
    (2500, NOBODY_ASKS, AuthExpired),
)
DAILY_QUOTA = (9, 2207042)  # Instagram's publishing quota of a day


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer of the Graph API, read whole. Its repr does not show the body."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    text: str

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, {len(self.text)} characters)"


class GraphClient:
    """Sends requests to one Graph host under one API version."""

    def __init__(self, http: httpx.AsyncClient | None, settings: MetaSettings) -> None:
        self._http = http
        self.settings = settings

    async def get(self, operation: str, path: str, params: Mapping[str, str]) -> Answer:
        """Read `path`, e.g. `/debug_token`. `params` carry the token. Raises a PlatformError."""
        return await self._send(operation, "GET", f"/{self.settings.api_version}{path}", params)

    async def post_reads(self, operation: str, path: str, form: Mapping[str, str]) -> Answer:
        """Post a form that only reads (a batch of GET items): a lost answer is no harm. Raises a PlatformError."""
        return await self._send(operation, "POST", f"/{self.settings.api_version}{path}", form)

    def auth_params(self, credential: Credential) -> dict[str, str]:
        """Give the parameters that authenticate a call: the token and, where the app's secret is known, its proof.

        Source: "Securing Graph API requests" and the Python business SDK's `session.py`, read 2026-11.
        """
        params = {"access_token": credential.access_token}
        secret = self.settings.app_secret(credential)
        if secret is not None:
            params["appsecret_proof"] = appsecret_proof(secret, credential.access_token)
        return params

    async def _send(self, operation: str, method: str, path: str, params: Mapping[str, str]) -> Answer:
        if self._http is None:
            raise RuntimeError("this platform was built without an HTTP client; it can only plan calls")
        url = self.settings.graph_url.rstrip("/") + path
        in_query, in_form = (params, None) if method == "GET" else (None, params)
        try:
            async with asyncio.timeout(self.settings.timeout_seconds):
                response = await self._http.request(method, url, params=in_query, data=in_form)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            message = f"no connection ({type(error).__name__}); nothing was sent"
            raise Unavailable(PlatformName.META, operation, message) from None
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            # Without a cause: httpx keeps the request, and with it the token, on its errors.
            message = f"no whole answer ({type(error).__name__})"
            raise OutcomeUnknown(PlatformName.META, operation, message) from None
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, response.text)


def appsecret_proof(app_secret: str, access_token: str) -> str:
    """Give the lower-case hex HMAC-SHA256 of the token under the app's secret."""
    return hmac.new(app_secret.encode(), access_token.encode(), hashlib.sha256).hexdigest()


def read_graph_error(text: str) -> GraphError | None:
    """Find the `error` object in a JSON text; None when the text is something else."""
    try:
        return GraphErrorAnswer.model_validate_json(text).error
    except ValidationError:
        return None


def platform_error(
    operation: str,
    status: int,
    error: GraphError | None,
    *,
    wait_seconds: float,
    scope: QuotaScope | None = None,
    hide: Sequence[str] = (),
) -> PlatformError:
    """Turn Meta's words into the error whose branch decides what happens next.

    `error` is None when the answer had no readable error object; then the HTTP status decides. A throttle waits for
    `wait_seconds` and names `scope` as the budget that is used up. The texts in `hide` are taken out of Meta's words.
    """
    if error is None:
        return _make(_by_status(status), operation, f"HTTP {status} without a Graph error", None, wait_seconds, scope)
    kind = _kind_of(error, status)
    wait = 86_400.0 if (error.code, error.error_subcode) == DAILY_QUOTA else wait_seconds
    return _make(kind, operation, _words_of(error, hide), _platform_code(error), wait, scope)


def _make(
    kind: type[PlatformError],
    operation: str,
    message: str,
    platform_code: str | None,
    wait_seconds: float,
    scope: QuotaScope | None,
) -> PlatformError:
    if issubclass(kind, RateLimited):
        return kind(
            PlatformName.META,
            operation,
            message,
            platform_code=platform_code,
            retry_after_seconds=wait_seconds,
            scope=scope,
        )
    return kind(PlatformName.META, operation, message, platform_code=platform_code)


def _kind_of(error: GraphError, status: int) -> type[PlatformError]:
    code, subcode = error.code, error.error_subcode
    if code is None:
        return _by_status(status) if status >= 400 else Rejected
    if code in THROTTLE_CODES or (code, subcode) == DAILY_QUOTA:
        return RateLimited
    for told, words, meaning in KINDS_BY_TEXT:
        if code == told and words in error.message:
            return meaning
    if subcode == UNKNOWN_ERROR_SUBCODE:
        return Unavailable
    if subcode is not None and (code, subcode) in ERRORS_BY_SUBCODE:
        kind = ERRORS_BY_SUBCODE[code, subcode]
    elif 200 <= code <= 299:
        kind = PermissionMissing
    else:
        kind = ERRORS_BY_CODE.get(code) or _by_status(status)
    # `is_transient: true` overrides towards another try; its absence says nothing (SDK field; advice third party).
    return Unavailable if error.is_transient and not issubclass(kind, RateLimited) else kind


def _by_status(status: int) -> type[PlatformError]:
    if status >= 500:
        return Unavailable
    named: dict[int, type[PlatformError]] = {401: AuthExpired, 403: PermissionMissing, 429: RateLimited}
    if status in named:
        return named[status]
    return Rejected if status >= 400 else ContractBroken


def _platform_code(error: GraphError) -> str | None:
    if error.code is None:
        return None
    return str(error.code) if error.error_subcode is None else f"{error.code}/{error.error_subcode}"


def _words_of(error: GraphError, hide: Sequence[str]) -> str:
    # Meta repeats parts of a bad request in its message, a malformed token among them.
    words = error.message
    for secret in hide:
        words = words.replace(secret, MARK)
    words = redact_text(words, max_chars=MAX_MESSAGE_CHARS)
    kind = f" ({error.type})" if error.type else ""
    trace = f", fbtrace_id {error.fbtrace_id}" if error.fbtrace_id else ""
    return redact_text(f"{words}{kind}{trace}", max_chars=MAX_MESSAGE_CHARS + 200)
