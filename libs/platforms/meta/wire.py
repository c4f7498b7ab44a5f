"""Meta's JSON: pydantic models of what is read from its answers. Unknown keys are ignored, as Meta adds some."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, StrictBool, TypeAdapter


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


def _code(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,10}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> Any:
    """Ids are written as texts and, here and there, as numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


MAX_TOKEN_CHARS = 4_096
"""Not documented; Meta advises to allow for tokens of changing length. Those seen have about 200."""
MAX_EXPIRES_IN = 400 * 86_400
"""Seconds. Sixty days are the longest that is documented."""
LATEST_UNIX_TIME = 32_503_680_000
"""The year 3000."""
NumericId = Annotated[str, BeforeValidator(_number), Field(pattern=r"^[0-9]{1,32}$")]
TokenText = Annotated[str, Field(pattern=r"^[!-~]+$", max_length=MAX_TOKEN_CHARS)]
"""Printable and without spaces: whatever else comes in a token's place is none."""
UnixTime = Annotated[int, Field(ge=0, le=LATEST_UNIX_TIME)]
Code = Annotated[int | None, BeforeValidator(_code)]
Text = Annotated[str | None, BeforeValidator(_text)]


class GraphError(_Wire):
    """The `error` object. Only the codes are stable; `message` may change at any time.

    What is wrong about one part of it says nothing against the others, so every object can be read.
    Source: "Handling errors" of the Graph API guides, read 2026-11.
    """

    message: Annotated[str, BeforeValidator(lambda value: _text(value) or "")] = ""
    type: Text = None
    code: Code = None
    """Absent in the answer to a batch of more than 50 items (third party: seen in another client's test)."""
    error_subcode: Code = None
    is_transient: Annotated[bool, BeforeValidator(lambda value: value is True)] = False
    fbtrace_id: Text = None


class BatchItem(_Wire):
    """One element of a batch answer; `body` is JSON text, to be parsed a second time.

    Source: "Batch requests" of the Graph API guides, read 2026-11.
    """

    code: int
    headers: Any = None
    """A list of `{"name", "value"}`. Not checked here: an answer is worth more than the notes on it."""
    body: str | None = None


BATCH_ITEM: TypeAdapter[BatchItem | None] = TypeAdapter(BatchItem | None)


class PlatformUsage(_Wire):
    """`X-App-Usage`, and `X-Page-Usage` (third party), in per cent."""

    call_count: FiniteFloat = 0
    total_time: FiniteFloat = 0
    total_cputime: FiniteFloat = 0


class BusinessUsage(_Wire):
    """One entry of `X-Business-Use-Case-Usage`, in per cent; the time to regain access is in minutes."""

    type: str = Field(pattern=r"^[a-z_]{1,64}$")
    """Becomes the name of a budget and a label of our metrics, so it must look like one."""
    call_count: FiniteFloat = 0
    total_time: FiniteFloat = 0
    total_cputime: FiniteFloat = 0
    estimated_time_to_regain_access: FiniteFloat = 0
    ads_api_access_tier: str | None = None
    """Only with the kinds `ads_insights` and `ads_management`."""


BusinessUsages = Annotated[
    dict[
        Annotated[str, Field(pattern=r"^(act_)?[0-9]{1,32}$")],
        Annotated[tuple[BusinessUsage, ...], Field(max_length=32)],
    ],
    Field(max_length=32),
]
"""By the business object's id; at most 32 objects. Source: "Graph API rate limiting", read 2026-11; that an object has
no more kinds than that is our own bound."""
BUSINESS_USAGE: TypeAdapter[dict[str, tuple[BusinessUsage, ...]]] = TypeAdapter(BusinessUsages)


class AdAccountUsage(_Wire):
    """`X-Ad-Account-Usage`; the reset is in seconds."""

    acc_id_util_pct: FiniteFloat = 0
    reset_time_duration: FiniteFloat = 0
    ads_api_access_tier: str | None = None


class InsightsThrottle(_Wire):
    """`X-FB-Ads-Insights-Throttle`, in per cent. Source: "Insights API best practices", read 2026-11."""

    app_id_util_pct: FiniteFloat = 0
    acc_id_util_pct: FiniteFloat = 0
    ads_api_access_tier: str | None = None


class TokenError(_Wire):
    """Why a token is not valid (from memory, unverified)."""

    code: Code = None
    subcode: Code = None
    message: Annotated[str, BeforeValidator(lambda value: _text(value) or "")] = ""


class GranularScope(_Wire):
    """A scope that may reach certain objects only. Without `target_ids` it reaches all (from memory, unverified)."""

    scope: str
    target_ids: tuple[NumericId, ...] | None = None


class TokenData(_Wire):
    """What `debug_token` says. 0 means never. Fields: "Debug-Token" reference and Threads' "Debug", read 2026-11."""

    is_valid: StrictBool
    type: str | None = None
    app_id: NumericId | None = None
    user_id: NumericId | None = None
    profile_id: NumericId | None = None
    """The page, of a page's token (from memory, unverified)."""
    scopes: tuple[str, ...] = ()
    granular_scopes: tuple[GranularScope, ...] = ()
    issued_at: UnixTime | None = None
    expires_at: UnixTime | None = None
    data_access_expires_at: UnixTime | None = None
    error: TokenError | None = None


class DebugTokenAnswer(_Wire):
    """The answer of `GET /debug_token`."""

    data: TokenData


class TokenAnswer(_Wire):
    """A token that was made. Facebook's and Threads' sign-in, every exchange and refresh.

    Source: "Get long-lived tokens", "Threads: long-lived access tokens", "Instagram Platform: refresh access token",
    read 2026-11. Without `expires_in` no end is told.
    """

    access_token: TokenText
    token_type: str | None = None
    expires_in: Annotated[int, Field(ge=0, le=MAX_EXPIRES_IN)] | None = None
    user_id: NumericId | None = None
    permissions: tuple[str, ...] | str | None = None
    """Of Instagram's sign-in; a list or a text with commas."""


class TokenListAnswer(_Wire):
    """Instagram's sign-in, as the newer guide shows it. Source: "Business Login for Instagram", read 2026-11."""

    data: Annotated[tuple[TokenAnswer, ...], Field(min_length=1, max_length=1)]


class PageTokenAnswer(_Wire):
    """A page's own token; absent where the asker has no task on the page (from memory, unverified)."""

    id: NumericId
    access_token: TokenText | None = None


class InstagramMe(_Wire):
    """Whom an Instagram Login token is of. `user_id` is the professional account, `id` is scoped to the app.

    Source: "Instagram API with Instagram Login: get started", read 2026-11.
    """

    user_id: NumericId
    username: str | None = None


class Cursors(_Wire):
    """Places in a list; both are there on the last page too."""

    before: str | None = None
    after: str | None = None


class Paging(_Wire):
    """What leads on from a page. Source: "Paginated results" of the Graph API guides, read 2026-11."""

    cursors: Cursors | None = None
    next: str | None = None


class ListAnswer(_Wire):
    """One page of an edge."""

    data: tuple[dict[str, Any], ...]
    paging: Paging | None = None
