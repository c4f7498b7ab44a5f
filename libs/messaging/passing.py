"""Failures that are nobody's fault: the same work may succeed later as it is."""

from typing import Final

import asyncpg

from libs.postgres import is_available_error

_IN_THE_WAY: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
)


def others_were_in_the_way(error: Exception) -> bool:
    """Whether locks or a time limit ended a statement. If that comes back each time it is the work's own fault."""
    return isinstance(error, _IN_THE_WAY)


def is_passing(error: Exception) -> bool:
    """Whether the database is away, or others were in the way."""
    return is_available_error(error) or others_were_in_the_way(error)
