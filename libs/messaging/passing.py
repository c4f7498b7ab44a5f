"""Failures that are nobody's fault: the same work may succeed later as it is. And those of work that takes too long."""

from collections.abc import Iterator
from typing import Final

import asyncpg

from libs.postgres import is_available_error

_IN_THE_WAY: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
)
_OUT_OF_TIME: Final = (asyncpg.TransactionTimeoutError, asyncpg.IdleInTransactionSessionTimeoutError)


def others_were_in_the_way(error: Exception) -> bool:
    """Whether locks or a time limit ended a statement. If that comes back each time it is the work's own fault."""
    return isinstance(error, _IN_THE_WAY)


def cause_of(error: Exception) -> BaseException:
    """Give why the server ended the session, where it did so because the transaction lasted too long; else the error.

    What is raised then only says that the connection is closed, by the end of the transaction or of a savepoint. What
    the server said stands in the chain of causes, unless the transaction awaited something else than its connection
    just then, which none may.
    """
    return next((cause for cause in _chain(error) if isinstance(cause, _OUT_OF_TIME)), error)


def ran_out_of_time(error: Exception) -> bool:
    """Whether the server ended the session because of its transaction's length: the same work would meet it again."""
    return isinstance(cause_of(error), _OUT_OF_TIME)


def is_away(error: Exception) -> bool:
    """Whether the database is away, and did not end the session for the work's own sake."""
    return is_available_error(error) and not ran_out_of_time(error)


def is_passing(error: Exception) -> bool:
    """Whether the database is away, or others were in the way."""
    return is_away(error) or others_were_in_the_way(error)


def costs_time(error: Exception) -> bool:
    """Whether each attempt that ends so has waited for a time limit first: attempts are dear."""
    return others_were_in_the_way(error) or ran_out_of_time(error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
