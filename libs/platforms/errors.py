"""The errors that every platform raises. The branch decides what happens next:

    PlatformError
    ├── Retryable            proved not done: try again
    │   ├── RateLimited          after `retry_after_seconds`
    │   └── Unavailable
    ├── Blocked              waits for somebody or something
    │   ├── AuthExpired          a newer token helps
    │   ├── AuthRevoked          the owner must connect again
    │   ├── PermissionMissing
    │   ├── CreditExhausted
    │   └── Misconfigured        our own settings are wrong, nothing about the request: an operator mends them
    ├── Permanent            trying again gives the same
    │   ├── Rejected             the platform refused the request
    │   └── ContractBroken       the answer is not what its documents say
    └── OutcomeUnknown       may have happened: reconcile, never repeat a write

None carries a token or a body.
"""

from datetime import UTC, datetime, timedelta

from libs.vocabulary import PlatformName, QuotaScope


class PlatformError(Exception):
    """What went wrong in one operation; `code` is our stable word for it."""

    code = "platform_error"

    def __init__(
        self, platform: PlatformName, operation: str, message: str, *, platform_code: str | None = None
    ) -> None:
        super().__init__(f"{platform} {operation}: {message}")
        self.platform = platform
        self.operation = operation
        self.message = message
        self.platform_code = platform_code


class Retryable(PlatformError):  # noqa: N818  the tree's words are the field's, not the linter's
    code = "retryable"


class RateLimited(Retryable):
    """A budget is used up. `scope` names it where the answer tells which one it is; None: only this call must wait.

    `regain_at` is the moment of `retry_after_seconds`, for who comes to it late.
    """

    code = "rate_limited"

    def __init__(
        self,
        platform: PlatformName,
        operation: str,
        message: str,
        *,
        platform_code: str | None = None,
        retry_after_seconds: float,
        scope: QuotaScope | None = None,
    ) -> None:
        super().__init__(platform, operation, message, platform_code=platform_code)
        self.retry_after_seconds = retry_after_seconds
        self.regain_at = datetime.now(UTC) + timedelta(seconds=retry_after_seconds)
        self.scope = scope


class Unavailable(Retryable):
    code = "unavailable"


class Blocked(PlatformError):  # noqa: N818
    code = "blocked"


class AuthExpired(Blocked):
    code = "auth_expired"


class AuthRevoked(Blocked):
    code = "auth_revoked"


class PermissionMissing(Blocked):
    code = "permission_missing"


class CreditExhausted(Blocked):
    code = "credit_exhausted"


class Misconfigured(Blocked):
    code = "misconfigured"


class Permanent(PlatformError):  # noqa: N818
    code = "permanent"


class Rejected(Permanent):
    code = "rejected"


class ContractBroken(Permanent):
    code = "contract_broken"


class OutcomeUnknown(PlatformError):  # noqa: N818
    code = "outcome_unknown"
