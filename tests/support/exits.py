"""Which processes ended though nothing ended them: a fault around a service must not bring it down."""

import signal
from collections.abc import Sequence

from tests.support.chaos import Struck
from tests.support.processes import Fleet, Life

_TAIL_CHARS = 600


def unexplained_exits(fleet: Fleet, struck: Sequence[Struck]) -> list[str]:
    """Say how each process ended that nothing ended: no kill, and no database that was away when it started.

    A service that cannot reach its database when it starts ends with 1, and is started again; one that has started goes
    on through everything.
    """
    return [
        f"{name} ended with {life.code} after {life.ended_at - life.began_at:.1f} s: {life.said[-_TAIL_CHARS:]}"
        for name in fleet.names()
        for life in fleet[name].lives
        if not is_explained(name, life, struck)
    ]


def is_explained(name: str, life: Life, struck: Sequence[Struck]) -> bool:
    """Whether a kill ended this life of a process, or its database kept it from beginning."""
    if life.code == -signal.SIGKILL:
        return life.was_killed
    has_started = '"message": "started"' in life.said
    return life.code == 1 and not has_started and any(_takes_database(one, name, life) for one in struck)


def _takes_database(one: Struck, name: str, life: Life) -> bool:
    service = name.partition("-")[0]
    database = one.target in ("postgres", f"{service}~postgres")
    return database and one.began_at <= life.ended_at and life.began_at <= one.ended_at
