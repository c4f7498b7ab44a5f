"""Forgetting parked records and dead letters that ended long ago, and what operators did to them."""

from typing import Final

from libs.postgres import Database

KEEP_DAYS: Final = 30
_ROWS_AT_ONCE: Final = 5_000

PRUNE_PARKED: Final = """
DELETE FROM parked WHERE id IN (
    SELECT id FROM parked WHERE status <> 'open' AND ended_at < now() - make_interval(days => $1) LIMIT $2
)
"""
PRUNE_DEAD_LETTERS: Final = """
DELETE FROM dead_letters WHERE id IN (
    SELECT id FROM dead_letters WHERE status <> 'open' AND ended_at < now() - make_interval(days => $1) LIMIT $2
)
"""
PRUNE_ACTIONS: Final = """
DELETE FROM operator_actions WHERE id IN (
    SELECT action.id FROM operator_actions AS action
    WHERE action.done_at < now() - make_interval(days => $1)
      AND NOT EXISTS (SELECT FROM parked WHERE parked.id = action.subject_id)
      AND NOT EXISTS (SELECT FROM dead_letters WHERE dead_letters.id = action.subject_id)
    LIMIT $2
)
"""


async def prune_parked(database: Database, *, days: int = KEEP_DAYS) -> dict[str, int]:
    """Forget what ended more than `days` ago, some rows per transaction (a job). What is open stays."""
    counts = {}
    for name, query in (
        ("parked_deleted", PRUNE_PARKED),
        ("dead_letters_deleted", PRUNE_DEAD_LETTERS),
        ("actions_deleted", PRUNE_ACTIONS),
    ):
        counts[name] = 0
        while True:
            async with database.acquire() as connection:
                deleted = int((await connection.execute(query, days, _ROWS_AT_ONCE)).rpartition(" ")[2])
            counts[name] += deleted
            if deleted < _ROWS_AT_ONCE:
                break
    return counts
