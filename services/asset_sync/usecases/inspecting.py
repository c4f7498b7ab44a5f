"""Asking a platform what a token is, before it is kept. No transaction is open here."""

import asyncio
from datetime import UTC, datetime
from typing import Final

from libs.events.problem import Problem, ProblemError, ProblemItem, problem
from libs.platforms.base import Credential, Platform, TokenFacts
from libs.platforms.errors import Blocked, ContractBroken, Misconfigured, Permanent, PlatformError, RateLimited
from services.asset_sync.models import KnownToken

RETRY_AFTER_SECONDS: Final = 10
LONGEST_RETRY_SECONDS: Final = 3_600
MAX_SCOPES: Final = 500


async def inspect_token(
    platform: Platform, access_token: str, app_id: str | None, *, timeout_seconds: float, now: datetime
) -> KnownToken:
    """Ask the platform about a token and give what it said; reads only, so it may be repeated.

    Raises ProblemError: 422 the token is refused or cannot be checked, 502 an answer without sense, 503 no answer.
    """
    if platform.tokens is None:
        raise ProblemError(
            problem(
                "platform_without_tokens",
                422,
                "Platform has no connections",
                f"Connections to {platform.name} cannot be made yet.",
                ProblemItem(where="/platform", what="has no tokens that can be checked", how="use another platform"),
            )
        )
    try:
        async with asyncio.timeout(timeout_seconds):
            facts = await platform.tokens.inspect(Credential(access_token=access_token, app_id=app_id))
    except PlatformError as error:
        raise _refusal(platform, error) from None
    except TimeoutError:
        raise _no_answer(platform, RETRY_AFTER_SECONDS) from None
    return _accepted(platform, facts, access_token, app_id, now)


def _accepted(
    platform: Platform, facts: TokenFacts, access_token: str, app_id: str | None, now: datetime
) -> KnownToken:
    expires_at = _time(platform, facts.expires_at_unix)
    if not facts.valid:
        raise ProblemError(_refused(platform, "says that the token is not valid"))
    if expires_at is not None and expires_at <= now:
        raise ProblemError(_refused(platform, f"says that the token expired at {expires_at:%Y-%m-%dT%H:%M:%SZ}"))
    if app_id is not None and facts.app_id is not None and facts.app_id != app_id:
        raise ProblemError(
            problem(
                "token_of_another_app",
                422,
                "Token of another app",
                f"{platform.name} says that the token was given to another app.",
                ProblemItem(where="/app_id", what="is not the token's app", how="name the app that the token is for"),
            )
        )
    return KnownToken(
        text=access_token,
        kind=facts.kind,
        app_id=app_id or facts.app_id,
        owner_user_id=facts.owner_id,
        scopes=tuple(sorted(set(facts.scopes)))[:MAX_SCOPES],
        expires_at=expires_at,
    )


def _refusal(platform: Platform, error: PlatformError) -> ProblemError:
    if isinstance(error, RateLimited):
        return _no_answer(platform, min(LONGEST_RETRY_SECONDS, max(1, round(error.retry_after_seconds))))
    if isinstance(error, ContractBroken):
        return _nonsense(platform)
    if isinstance(error, Blocked) and not isinstance(error, Misconfigured):
        return ProblemError(_refused(platform, f"refuses the token: {error.message}"))
    if isinstance(error, Permanent):
        item = ProblemItem(where="/app_id", what=error.message, how="name an app whose secret is configured here")
        return ProblemError(
            problem(
                "token_not_checked",
                422,
                "Token cannot be checked",
                f"{platform.name} could not be asked about the token: {error.message}",
                item,
            )
        )
    return _no_answer(platform, RETRY_AFTER_SECONDS)


def _refused(platform: Platform, words: str) -> Problem:
    item = ProblemItem(where="/access_token", what=words, how="get a new token from the platform, and send that")
    return problem("token_refused", 422, "Token refused", f"{platform.name} {words}.", item)


def _nonsense(platform: Platform) -> ProblemError:
    detail = f"{platform.name} answered something that its documents do not say; nothing was kept."
    return ProblemError(problem("platform_answer_broken", 502, "Platform's answer makes no sense", detail))


def _no_answer(platform: Platform, retry_after_seconds: int) -> ProblemError:
    detail = f"{platform.name} does not answer at the moment; nothing was kept. Send the same again later."
    return ProblemError(
        problem("platform_unavailable", 503, "Platform does not answer", detail),
        headers={"Retry-After": str(retry_after_seconds)},
    )


def _time(platform: Platform, unix_seconds: int | None) -> datetime | None:
    if unix_seconds is None:
        return None
    try:
        return datetime.fromtimestamp(unix_seconds, UTC)
    except (OverflowError, OSError, ValueError):
        raise _nonsense(platform) from None
