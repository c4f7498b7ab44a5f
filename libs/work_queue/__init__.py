"""Work as rows: claimed with SKIP LOCKED, held by a lease, fenced by an epoch that only grows."""

from libs.work_queue.claims import (
    Claimed,
    Held,
    backoff_seconds,
    claim,
    fail,
    finish,
    give_back,
    keep,
    lock_held,
    redrive,
    retry,
)
from libs.work_queue.table import DUE, QueueTable, claim_statement
from libs.work_queue.worker import Worker

__all__ = [
    "DUE",
    "Claimed",
    "Held",
    "QueueTable",
    "Worker",
    "backoff_seconds",
    "claim",
    "claim_statement",
    "fail",
    "finish",
    "give_back",
    "keep",
    "lock_held",
    "redrive",
    "retry",
]
