"""Meta's error object, and one function per refusal that the sandbox gives.

Message texts may change at Meta's will (O, guides/error-handling): only code and subcode are promised.
Statuses of throttles are not documented; 403 for code 4 and 400 for 80002 were seen in reports (T), the others are M.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

OAUTH = "OAuthException"
GRAPH_METHOD = "GraphMethodException"
GUIDE = "https://developers.facebook.com/docs/graph-api"
HOST_TYPES: Mapping[str, str] = {
    "graph.instagram.com": "IGApiException",  # T: 100, 100/33 and 2500 in many clients' reports
    "graph.threads.net": "THApiException",  # M
}
_NUMBER = re.compile(r"^\(#\d+\) ")
TOKEN_CODES = frozenset({102, 104, 190})
"""OAuthException on every host (T for 190)."""
HTTP_TIMES = "%A, %d-%b-%y %H:%M:%S UTC"


@dataclass(eq=False)
class GraphError(Exception):
    """A refusal: becomes `{"error": {...}}`; `code` None leaves the key out, as for GraphBatchException."""

    status: int
    code: int | None
    message: str
    type: str = OAUTH
    subcode: int | None = None
    transient: bool | None = None
    title: str | None = None
    text: str | None = None
    data: Mapping[str, Any] | None = None
    """`error_data`: an object here, sometimes a JSON text at Meta's (S takes both)."""
    original: Mapping[str, Any] | None = None
    """What a write would have answered that is done, though its answer could not be read."""
    headers: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.status}/{self.code}/{self.subcode}: {self.message}"

    def as_json(self, trace_id: str, *, host: str = "") -> dict[str, Any]:
        """The body. `host`: the same refusals have another type beside graph.facebook.com."""
        kind, message = self.type, self.message
        if host in HOST_TYPES and self.code not in TOKEN_CODES:
            # Without the number before it (T: the same reports).
            kind, message = HOST_TYPES[host], _NUMBER.sub("", message)
        error: dict[str, Any] = {"message": message, "type": kind}
        optional = {
            "code": self.code,
            "error_subcode": self.subcode,
            "is_transient": self.transient,
            "error_user_title": self.title,
            "error_user_msg": self.text,
            "error_data": self.data,
        }
        error.update({key: value for key, value in optional.items() if value is not None})
        error["fbtrace_id"] = trace_id
        if self.original is not None:
            error["original_response"] = self.original
        return {"error": error}


@dataclass(frozen=True, slots=True)
class Throttle:
    """How one quota refuses."""

    code: int
    status: int
    message: str
    subcode: int | None = None
    transient: bool | None = None


AD_SUBCODE = 2446079
THROTTLES: Mapping[str, Throttle] = {
    "app": Throttle(4, 403, "(#4) Application request limit reached.", transient=True),  # O; status T
    "user": Throttle(17, 400, "(#17) User request limit reached.", subcode=AD_SUBCODE),  # O; status M
    "page_user": Throttle(32, 403, "(#32) Page request limit reached."),  # O; status M
    "pages": Throttle(80001, 400, "(#80001) There have been too many calls to this Page account."),  # O; status M
    "leadgen": Throttle(
        80005, 400, "(#80005) There have been too many leadgen api calls to this Page account."
    ),  # O; status M
    "instagram": Throttle(80002, 400, "(#80002) There have been too many calls to this Instagram account."),  # O; T
    "whatsapp": Throttle(
        80008, 400, "(#80008) There have been too many calls to this WhatsApp Business account."
    ),  # O; status M
    "messages": Throttle(130429, 400, "(#130429) Rate limit hit"),  # O (cloud-api error codes); status M
    "catalog": Throttle(80009, 400, "(#80009) There have been too many calls to this Catalog account."),  # O; status M
    "catalog_batch": Throttle(
        80014, 400, "(#80014) There have been too many batch uploads to this Catalog account."
    ),  # O; status M
    "threads": Throttle(4, 403, "(#4) Application request limit reached.", transient=True),  # not documented: M
    "ads_management": Throttle(
        80004, 400, "(#80004) There have been too many calls to this ad-account.", subcode=AD_SUBCODE
    ),  # O; status M
    "ads_insights": Throttle(
        80000, 400, "(#80000) There have been too many calls from this ad-account.", subcode=AD_SUBCODE
    ),  # O; status M
    "insights_app": Throttle(4, 403, "(#4) Application request limit reached.", transient=True),  # O; status T
    # All of Meta's insights are under load, whoever asks (O, insights/best-practices#global-rate-limits; status M).
    "insights_load": Throttle(4, 403, "(#4) Too many API requests.", subcode=1504022, transient=True),
    "mutations": Throttle(
        613, 400, "(#613) Calls to this api have exceeded the rate limit.", subcode=5044001
    ),  # T; status M
    "custom": Throttle(613, 400, "(#613) Calls to this api have exceeded the rate limit.", subcode=1996),  # O; M
}


def throttled(scope: str) -> GraphError:
    rule = THROTTLES[scope]
    text = f"{rule.message} Wait a bit and try again."
    return GraphError(rule.status, rule.code, text, subcode=rule.subcode, transient=rule.transient)


def no_token(*, about_me: bool) -> GraphError:
    """Code 2500 for `me` (T), 104 elsewhere (M)."""
    if about_me:
        return GraphError(400, 2500, "An active access token must be used to query information about the current user.")
    return GraphError(400, 104, "An access token is required to request this resource.")


def unreadable_token() -> GraphError:
    """HTTP 400 and code 190 (O; status M)."""
    return GraphError(400, 190, "Invalid OAuth access token - Cannot parse access token")


def expired_token(expired_at: datetime, now: datetime) -> GraphError:
    """190/463 (O)."""
    ended, current = (moment.astimezone(UTC).strftime(HTTP_TIMES) for moment in (expired_at, now))
    text = f"Error validating access token: Session has expired on {ended}. The current time is {current}."
    return GraphError(400, 190, text, subcode=463)


REVOKED_TEXTS = {
    458: "The user has not authorized application {app}.",
    460: "The session has been invalidated because the user changed their password or Facebook has changed the "
    "session for security reasons.",
    467: "The session is invalid because the user logged out.",
    492: "The user must be an administrator of the page in order to impersonate it.",
}


def revoked_token(subcode: int, app_id: str) -> GraphError:
    """190 with 458, 460, 467 or 492 (O)."""
    text = REVOKED_TEXTS[subcode].format(app=app_id)
    return GraphError(400, 190, f"Error validating access token: {text}", subcode=subcode)


def wrong_proof() -> GraphError:
    """Code, type and status as in issue 528 of Meta's Python SDK (T)."""
    return GraphError(400, 100, "Invalid appsecret_proof provided in the API argument", type=GRAPH_METHOD)


def missing_proof() -> GraphError:
    """Message T, code and type M."""
    text = "API calls from the server require an appsecret_proof argument"
    return GraphError(400, 100, text, type=GRAPH_METHOD)


def missing_object(node_id: str, method: str = "get") -> GraphError:
    """100/33: Meta does not say whether the object is missing or the right to see it (T)."""
    text = (
        f"Unsupported {method} request. Object with ID '{node_id}' does not exist, cannot be loaded due to missing "
        f"permissions, or does not support this operation. Please read the Graph API documentation at {GUIDE}"
    )
    return GraphError(400, 100, text, type=GRAPH_METHOD, subcode=33)


def unsupported(method: str) -> GraphError:
    """A call that names nothing at all (M)."""
    text = f"Unsupported {method} request. Please read the Graph API documentation at {GUIDE}"
    return GraphError(400, 100, text, type=GRAPH_METHOD)


def missing_permission(kind: str, scopes: tuple[str, ...]) -> GraphError:
    """Code 200 with HTTP 403 for ad objects, code 10 elsewhere (codes O, statuses M)."""
    if kind in {"ad_account", "campaign", "adset", "ad", "adcreative"}:
        text = "(#200) Ad account owner has NOT grant ads_management or ads_read permission"
        return GraphError(403, 200, text)
    wanted = "' or '".join(scopes)
    return GraphError(403, 10, f"(#10) This endpoint requires the '{wanted}' permission.")


def unknown_field(name: str, type_name: str) -> GraphError:
    """T."""
    return GraphError(400, 100, f"(#100) Tried accessing nonexisting field ({name}) on node type ({type_name})")


def unread(error: GraphError, done: Mapping[str, Any]) -> GraphError:
    """A write that is done, and an answer that could not be read (O, docs/graph-api/advanced)."""
    return replace(error, type="FacebookApiException", original=done)


def unknown_alias(name: str) -> GraphError:
    """O, guides/field-expansion."""
    return bad_parameter(f"Unknown fields: {name}.")


def unknown_username(name: str) -> GraphError:
    """110/2207013 (M)."""
    text = f"The user with username: {name} cannot be found."
    return GraphError(
        400, 110, "Invalid user id", subcode=2207013, transient=False, title="Cannot find User", text=text
    )


def syntax_error(found: str | None, position: int, text: str) -> GraphError:
    """Code, type and wording T: issues 123 of node-facebook/facebook-node-sdk, 30 of facebook-events-by-location-core.

    `found` None: the text ended too early.
    """
    what = 'Expected ")", got end of string' if found is None else f'Expected end of string instead of "{found}".'
    return GraphError(400, 2500, f'Syntax error "{what}" at character {position}: {text[:200]}')


def bad_parameter(text: str) -> GraphError:
    """Code 100 (O)."""
    return GraphError(400, 100, f"(#100) {text}")


def too_many_ids(given: int, most: int) -> GraphError:
    """Text T."""
    return GraphError(400, 100, f"(#100) Too many IDs. Maximum: {most}. Provided: {given}.")


def too_much_data() -> GraphError:
    """HTTP 500, code 1 (T)."""
    return GraphError(500, 1, "Please reduce the amount of data you're asking for, then retry your request")


def too_deep() -> GraphError:
    """O, docs/graph-api/results."""
    return bad_parameter("The After Cursor specified exceeds the max limit supported by this endpoint")


def retired_version(current: str) -> GraphError:
    """2635 (T); status M."""
    text = (
        f"(#2635) You are calling a deprecated version of the Ads API. Please update to the latest version: {current}."
    )
    return GraphError(400, 2635, text)


def unknown_path(path: str) -> GraphError:
    """For edges that nothing has (T: issue 611 of arsduo/koala), and for anything under an unknown version (T)."""
    return GraphError(400, 2500, f"Unknown path components: {path}")


def too_many_items(most: int) -> GraphError:
    """Text and type T; no code was seen. Its status is not documented: 400 as for other refused requests (M)."""
    text = f"Too many requests in batch message. Maximum batch size is {most}"
    return GraphError(400, None, text, type="GraphBatchException")


def aborted_item() -> GraphError:
    """Code 960 inside a batch (T)."""
    text = "Request aborted. This could happen if a dependent request failed or the entire request timed out."
    return GraphError(500, 960, text, type="FacebookApiException")


def unknown_failure() -> GraphError:
    """Code 1 (O); status M."""
    return GraphError(500, 1, "An unknown error has occurred.")


def unavailable() -> GraphError:
    """Code 2 (O); status M."""
    return GraphError(503, 2, "Service temporarily unavailable", transient=True)
