"""What Meta's error codes mean: which branch of the tree, and so what happens next.

Codes and subcodes decide; words may change at any time, and the HTTP status says hardly anything. Sources: "Handling
errors" and "Rate limiting" of the Graph API guides and "Error codes" of the Instagram platform, read 2026-11; third
party and from memory where a line says so. No error's text holds a token, a secret or a body.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

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
from libs.platforms.meta.wire import GraphError
from libs.telemetry.redaction import MARK, redact_text
from libs.vocabulary import PlatformName, QuotaScope

MAX_MESSAGE_CHARS = 500

THROTTLE_CODES = frozenset({4, 17, 32, 341, 613, *range(80_000, 80_015)})
"""A budget is used up. Meta answers them with 400 or 403, hardly ever 429 (third party)."""
DAILY_QUOTA = (9, 2207042)
"""Instagram's publishing quota of a day."""
MUTATIONS = (613, 5044001)
"""More than 100 changes in a second of one ad account by one app (third party)."""
TOO_FAST = (368, 1390008)
"""Posting too fast: the page pauses for hours to days (third party)."""
WAITS_BY_CODE: Mapping[tuple[int, int | None], float] = {DAILY_QUOTA: 86_400.0, MUTATIONS: 1.0, TOO_FAST: 3_600.0}
"""Seconds until calls are worth a try; no header tells of these windows."""

# A dead token says why by its subcode, under code 190 and, with older calls, 102.
DEAD_TOKENS: Mapping[int, type[PlatformError]] = {
    458: AuthRevoked,  # the user removed the app
    459: AuthRevoked,  # the user must fix the account at Meta first
    460: AuthRevoked,  # password changed
    463: AuthExpired,
    464: AuthRevoked,  # the user is unconfirmed
    467: AuthExpired,  # invalidated; an exchanged token may exist by now
    492: PermissionMissing,  # lost the role on the page; the user's token may be fine
}
# Looked up first, by code and subcode. The rows with 22070xx are Instagram's of publishing.
ERRORS_BY_SUBCODE: Mapping[tuple[int, int], type[PlatformError]] = {
    **{(code, subcode): kind for code in (102, 190) for subcode, kind in DEAD_TOKENS.items()},
    (100, 33): Rejected,  # object missing or not permitted (third party)
    (100, 1487534): Rejected,  # insights over too much data: the same request fails again
    (200, 1870034): PermissionMissing,  # terms of custom audiences not accepted
    (368, 4854002): PermissionMissing,  # identity to be confirmed by a person (third party)
    (368, 1404082): Rejected,  # same content repeated (third party)
    DAILY_QUOTA: RateLimited,
    (-2, 2207003): Unavailable,  # the media could not be fetched in time
    (-2, 2207020): Rejected,  # the media expired: a new container is needed
    (-1, 2207001): Unavailable,  # Instagram's own fault
    (-1, 2207032): Unavailable,  # the container was not made
    (-1, 2207053): Rejected,  # the upload failed: a new container is needed
    (1, 2207057): Rejected,  # thumb_offset outside of the video
    (4, 2207051): OutcomeUnknown,  # "activity restricted", though the post may be live (third party, two reports)
    (24, 2207006): Rejected,  # container or media not found
    (24, 2207008): Unavailable,  # the container is not visible yet
    (25, 2207050): PermissionMissing,  # the account is restricted or inactive: a person must act
    (352, 2207026): Rejected,  # video format
    (9004, 2207052): Unavailable,  # the media's address could not be fetched: bounded tries
    (9007, 2207027): Unavailable,  # the container is not ready yet
    (36_000, 2207004): Rejected,  # over 8 MiB
    (36_001, 2207005): Rejected,  # image format
    (36_003, 2207009): Rejected,  # aspect ratio outside of 4:5 to 1.91:1
    (36_004, 2207010): Rejected,  # caption over 2,200 characters, 30 hashtags or 20 tags
}
ERRORS_BY_CODE: Mapping[int, type[PlatformError]] = {
    1: Unavailable,
    2: Unavailable,
    3: PermissionMissing,  # the app lacks a capability
    10: PermissionMissing,
    100: Rejected,
    101: Misconfigured,  # the app's id or secret is wrong (from memory, unverified)
    102: AuthExpired,
    104: Unavailable,  # bad proof (from memory, unverified) or connection reset (third party): bounded tries
    190: AuthExpired,
    191: Misconfigured,  # a redirect address that the app's settings do not know (from memory, unverified)
    368: RateLimited,  # blocked for a time
    506: Rejected,  # the same as the post before
    803: Rejected,  # an id or name that does not exist (third party), also of several in one `ids=`
    960: Unavailable,  # batch aborted, this item was not done (third party)
    # A `fields` text or path that Meta cannot read (third party: node-facebook/facebook-node-sdk#123,
    # arsduo/koala#611); with NOBODY_ASKS in its message it says something else.
    2500: Rejected,
    2635: Misconfigured,  # version retired: a newer one must be deployed (third party)
    3001: Rejected,  # insights without a metric
    1487390: Rejected,  # its meaning is contradictory in others' code
    1487901: Rejected,
    1609005: Rejected,  # the link could not be scraped
    1885272: Rejected,
}
UNKNOWN_ERROR_SUBCODE = 99  # third party: retried under whatever code
TOO_MUCH_DATA = "reduce the amount of data"  # code 1 with this text: the same request fails again (third party)
NOBODY_ASKS = "active access token"  # code 2500 with this text: no usable token (third party: jgorset/facepy#135)
PROOF = "appsecret_proof"  # code 100 with this text: the app's secret here is wrong or missing (third party)
FEW_VIEWERS = "enough viewers"  # code 10 with this text: a story with fewer than 5 viewers has no data (third party)
KINDS_BY_TEXT: Sequence[tuple[int | None, str, type[PlatformError]]] = (
    (1, TOO_MUCH_DATA, Rejected),
    # Of an exchange: the app's secret here is wrong (third party: facebookarchive/php-graph-sdk#538). Without a code it
    # is api.instagram.com, which has errors of its own form (third party: cosenary/Instagram-PHP-API#230).
    (1, "client secret", Misconfigured),
    (None, "Client Secret", Misconfigured),
    (None, "client_secret", Misconfigured),
    (None, "platform app", Misconfigured),
    (10, FEW_VIEWERS, Rejected),
    (100, PROOF, Misconfigured),
    (2500, NOBODY_ASKS, AuthExpired),
)
PROVED_NOT_DONE = frozenset({"-2/2207003", "-1/2207032", "24/2207008", "9004/2207052", "9007/2207027"})
"""Can be tried again, also as a write: the answer itself says that nothing was made or published."""


NO_JSON = object()
_NUL = re.compile(r"(?<!\\)((?:\\\\)*+)\\u0000")


def parse_json(text: str) -> Any:
    """Read an answer's text; NO_JSON when it is none, as with NaN. A number beyond a float's range becomes infinite."""
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        return NO_JSON


def read_json(text: str) -> Any:
    """Read what is to be kept: U+0000 in its texts becomes U+FFFD, as neither a table nor an event can hold it."""
    return parse_json(_NUL.sub(r"\1\\ufffd", text) if r"\u0000" in text else text)


def error_in(body: Any, status: int) -> GraphError | None:
    """Find the error object in the JSON of an answer or batch item; None when there is none.

    With a good status an object with an `id` is a node, which may have a field of that name; without one, whatever
    stands there is an error, also of a form that is not known. `debug=` puts `__debug__` beside an error.
    """
    found = body.get("error") if isinstance(body, dict) else None
    if status < 400 and (found is None or "id" in body):
        return None
    if not isinstance(found, dict):
        return _login_error(body) if status >= 400 else GraphError()
    return GraphError.model_validate(found)


def _login_error(body: Any) -> GraphError | None:
    """Read the form of api.instagram.com, whose `code` is the HTTP status (third party, see KINDS_BY_TEXT)."""
    if not isinstance(body, dict) or not isinstance(body.get("error_message"), str):
        return None
    return GraphError.model_validate({"message": body["error_message"], "type": body.get("error_type")})


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
    wait = wait_seconds if error.code is None else WAITS_BY_CODE.get((error.code, error.error_subcode), wait_seconds)
    return _make(kind, operation, _words_of(error, hide), _platform_code(error), wait, scope)


def may_have_happened(error: PlatformError) -> PlatformError:
    """Give what an answer to a write means: unless it is a refusal, the write may have been done.

    A write that Meta refuses in its own words is not done. A null, an abort, a server's fault or an answer that cannot
    be read prove nothing: they become OutcomeUnknown. Source: "Batch requests", read 2026-11, for null; the rest is
    caution.
    """
    proves_nothing = isinstance(error, Unavailable | ContractBroken) and error.platform_code not in PROVED_NOT_DONE
    if not proves_nothing:
        return error
    return OutcomeUnknown(error.platform, error.operation, error.message, platform_code=error.platform_code)


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
        told = _kind_by_text(code, error.message)
        return told or (_by_unknown_code(status) if error.message else _by_status(status))
    if subcode is not None and (code, subcode) in ERRORS_BY_SUBCODE:
        kind = ERRORS_BY_SUBCODE[code, subcode]
        # An outcome that is unknown stays so, whatever flag comes with it.
        if issubclass(kind, OutcomeUnknown):
            return kind
    elif code in THROTTLE_CODES:
        return RateLimited
    elif (told := _kind_by_text(code, error.message)) is not None:
        return told
    elif subcode == UNKNOWN_ERROR_SUBCODE:
        return Unavailable
    elif 200 <= code <= 299:
        kind = PermissionMissing
    else:
        kind = ERRORS_BY_CODE.get(code) or _by_unknown_code(status)
    # `is_transient: true` overrides towards another try; its absence says nothing (SDK field; advice third party).
    return Unavailable if error.is_transient and not issubclass(kind, RateLimited) else kind


def _kind_by_text(code: int | None, message: str) -> type[PlatformError] | None:
    return next((kind for told, words, kind in KINDS_BY_TEXT if code == told and words in message), None)


def _by_unknown_code(status: int) -> type[PlatformError]:
    """An error object is a refusal, whatever the status says."""
    return _by_status(status) if status >= 400 else Rejected


def _by_status(status: int) -> type[PlatformError]:
    if status >= 500 or status == 408:  # 408 is a proxy's on the way: it does not know what Meta did
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
    words = error.message or "an error without words"
    for secret in hide:
        words = words.replace(secret, MARK)
    words = redact_text(words, max_chars=MAX_MESSAGE_CHARS)
    kind = f" ({error.type})" if error.type else ""
    trace = f", fbtrace_id {error.fbtrace_id}" if error.fbtrace_id else ""
    return redact_text(f"{words}{kind}{trace}", max_chars=MAX_MESSAGE_CHARS + 200)
