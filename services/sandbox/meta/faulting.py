"""How Meta's own failures look when a fault asks for one."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from services.sandbox.exchange import Answer
from services.sandbox.faults import Fault
from services.sandbox.meta.budgets import app_bucket
from services.sandbox.meta.catalog import (
    ADS_SCOPES,
    CATALOG_SCOPES,
    INSTAGRAM_READ_SCOPES,
    THREADS_SCOPES,
    WHATSAPP_SCOPES,
)
from services.sandbox.meta.errors import (
    THROTTLES,
    GraphError,
    expired_token,
    missing_permission,
    revoked_token,
    throttled,
    unavailable,
    unknown_failure,
)
from services.sandbox.meta.quota import HOUR, Bucket, Quotas
from services.sandbox.meta.tokens import Token

DEFAULT_OVERSIZE_BYTES = 32 * 1024 * 1024
DEFAULT_BLOCK_MINUTES = 1
DEFAULT_STALE_SECONDS = 60.0
FAULT_ARGS: Mapping[str, Mapping[str, tuple[str, ...] | None]] = {
    "throttled": {"scope": tuple(THROTTLES), "minutes": None},
    "server_error": {"job": ("failed", "skipped")},
    "unavailable": {},
    "slow": {"seconds": None},
    "cut_before": {},
    "cut_after": {},
    "item_error": {"code": None, "subcode": None, "status": None, "message": None, "type": None, "null": None},
    "truncated": {"bytes": None},
    "token_expired": {},
    "token_revoked": {},
    "permission_lost": {},
    "wrong_content_type": {},
    "oversized": {"bytes": None},
    "stale": {"seconds": None},
    "duplicate_delivery": {"seconds": None},
    "reordered_delivery": {"seconds": None},
}
"""Kinds served -> their args; an arg with a list of words takes one of these.

`job` lets a call that orders a report succeed, and the report end that way.
"""

_PLATFORM_SCOPES = frozenset({"app", "user", "page_user", "custom"})
"""Told in X-App-Usage, if at all."""
_LOST: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ads_management": ("ad_account", ADS_SCOPES),
    "ads_insights": ("ad_account", ADS_SCOPES),
    "instagram": ("instagram", INSTAGRAM_READ_SCOPES),
    "threads": ("threads", THREADS_SCOPES),
    "whatsapp": ("whatsapp", WHATSAPP_SCOPES[:1]),
    "catalog": ("catalog", CATALOG_SCOPES),
    "leadgen": ("lead", ("leads_retrieval",)),
}
"""Scope of the budget that pays -> kind of object, and the scopes that a lost permission is about."""


def refuse(fault: Fault, token: Token | None, buckets: tuple[Bucket, ...], quotas: Quotas) -> None:
    """Raise what a fault makes Meta say instead of an answer. Raises: GraphError; nothing for other kinds."""
    if fault.kind == "throttled":
        raise _throttled(fault, token, buckets, quotas)
    if fault.kind == "item_error":
        raise _item_error(fault)
    if fault.kind == "server_error" and "job" not in fault.args:
        raise unknown_failure()
    if fault.kind == "unavailable":
        raise unavailable()
    if token is None:
        return
    if fault.kind == "token_expired":
        now = quotas.now()
        raise expired_token(now - timedelta(hours=1), now)
    if fault.kind == "token_revoked":
        raise revoked_token(460, token.app.id)
    if fault.kind == "permission_lost":
        ads = any(bucket.scope in {"ads_management", "ads_insights"} for bucket in buckets)
        raise missing_permission("ad_account" if ads else "page", ADS_SCOPES if ads else ("pages_read_engagement",))


def spoil(answer: Answer, fault: Fault | None) -> Answer:
    """Damage an answer on its way: the effect has happened."""
    if fault is None:
        return answer
    if fault.kind == "cut_after":
        answer.cut = True
    elif fault.kind == "truncated":
        answer.body = answer.body[: int(fault.number("bytes", len(answer.body) // 2))]
    elif fault.kind == "wrong_content_type":
        answer.content_type = "text/html; charset=utf-8"
    elif fault.kind == "oversized":
        answer.pad_to_bytes = int(fault.number("bytes", DEFAULT_OVERSIZE_BYTES))
    return answer


def delay_seconds(fault: Fault | None) -> float:
    return fault.number("seconds", 1.0) if fault and fault.kind == "slow" else 0.0


def as_of(fault: Fault | None, now: datetime) -> datetime | None:
    """The moment whose world a read shows, if a fault lets it lag behind what was written."""
    if fault is None or fault.kind != "stale":
        return None
    return now - timedelta(seconds=fault.number("seconds", DEFAULT_STALE_SECONDS))


def _throttled(fault: Fault, token: Token | None, buckets: tuple[Bucket, ...], quotas: Quotas) -> GraphError:
    """The quota that this call would use, unless the rule names another; headers say so."""
    scope = fault.args.get("scope") or (buckets[0].scope if buckets else "app")
    error = throttled(scope)
    minutes = round(fault.number("minutes", DEFAULT_BLOCK_MINUTES))
    shown = [bucket for bucket in buckets if bucket.scope == scope]
    if token and scope in _PLATFORM_SCOPES:
        shown = [app_bucket(token.app)]
    elif token and not shown:
        shown = [_another(scope, token, buckets)]
    error.headers = quotas.headers(tuple(shown), {bucket.scope: minutes for bucket in shown})
    return error


def _another(scope: str, token: Token, buckets: tuple[Bucket, ...]) -> Bucket:
    """A budget that the call would not use: the header speaks of the call's account, or of the token's owner."""
    subject = buckets[0].subject.rpartition("/")[2] if buckets else token.owner[1]
    tier = token.app.tier if scope.startswith("ads_") else None
    return Bucket(scope, f"{token.app.id}/{subject}", 1, HOUR, tier)


def _item_error(fault: Fault) -> GraphError:
    default = unknown_failure()
    subcode = fault.args.get("subcode")
    return GraphError(
        status=int(fault.number("status", default.status)),
        code=int(fault.number("code", default.code or 1)),
        message=str(fault.args.get("message", default.message)),
        type=str(fault.args.get("type", default.type)),
        subcode=int(subcode) if subcode is not None else None,
    )
