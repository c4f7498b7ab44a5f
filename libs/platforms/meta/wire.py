"""Meta's JSON: pydantic models of what is read from its answers. Unknown keys are ignored, as Meta adds some."""

from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class GraphError(_Wire):
    """The `error` object. Only the codes are stable; `message` may change at any time.

    Source: "Handling errors" of the Graph API guides, read 2026-11.
    """

    message: str = ""
    type: str | None = None
    code: int | None = None
    """Absent in the answer to a batch of more than 50 items (third party: seen in another client's test)."""
    error_subcode: int | None = None
    is_transient: bool = False
    fbtrace_id: str | None = None


class GraphErrorAnswer(_Wire):
    """An answer, or a batch item's body, that says what went wrong."""

    error: GraphError


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

    call_count: float = 0
    total_time: float = 0
    total_cputime: float = 0


class BusinessUsage(_Wire):
    """One entry of `X-Business-Use-Case-Usage`, in per cent; the time to regain access is in minutes."""

    type: str
    call_count: float = 0
    total_time: float = 0
    total_cputime: float = 0
    estimated_time_to_regain_access: float = 0
    ads_api_access_tier: str | None = None
    """Only with the kinds `ads_insights` and `ads_management`."""


BUSINESS_USAGE: TypeAdapter[dict[str, tuple[BusinessUsage, ...]]] = TypeAdapter(dict[str, tuple[BusinessUsage, ...]])


class AdAccountUsage(_Wire):
    """`X-Ad-Account-Usage`; the reset is in seconds."""

    acc_id_util_pct: float = 0
    reset_time_duration: float = 0
    ads_api_access_tier: str | None = None


class TokenError(_Wire):
    """Why a token is not valid (from memory, unverified)."""

    code: int | None = None
    subcode: int | None = None
    message: str = ""


class TokenData(_Wire):
    """What `debug_token` says (shape: third party). 0 means never."""

    is_valid: bool
    type: str | None = None
    app_id: str | None = None
    user_id: str | None = None
    profile_id: str | None = None
    scopes: tuple[str, ...] = ()
    expires_at: int | None = None
    error: TokenError | None = None


class DebugTokenAnswer(_Wire):
    """The answer of `GET /debug_token`."""

    data: TokenData
