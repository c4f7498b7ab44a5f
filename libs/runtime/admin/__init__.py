"""Operators' routes, the same in every service: outbox, parked records, dead letters, jobs, topics.

They show and change what belongs to all organizations, so they need a key of the bus's own operators. Whatever changes
something takes `dry_run=true`: it is done in a transaction that is rolled back, and the answer says what it would be.
"""

from fastapi import APIRouter, Depends

from libs.runtime.admin.dead_letters import add_dead_letters
from libs.runtime.admin.frame import AdminDeps, Done, DryRun, OperatorDep, operator
from libs.runtime.admin.jobs import add_jobs
from libs.runtime.admin.outbox import add_outbox
from libs.runtime.admin.parked import add_parked
from libs.runtime.admin.topics import add_topics

__all__ = ["AdminDeps", "Done", "DryRun", "OperatorDep", "admin_router", "operator"]


def admin_router(deps: AdminDeps) -> APIRouter:
    """Build the operators' routes of one service."""
    router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(operator)])
    add_outbox(router, deps)
    add_parked(router, deps)
    add_dead_letters(router, deps)
    add_jobs(router, deps)
    add_topics(router, deps)
    return router
