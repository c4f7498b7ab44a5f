"""How a consumer works."""

from dataclasses import dataclass, field

from libs.messaging.parked.options import ReplayOptions


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    """The numbers come from benchmarks/consumer.py and from what aiokafka 0.14 does with its own."""

    max_records: int = 2_000
    """Of one poll, which is one transaction over all its partitions."""
    poll_ms: int = 500
    fetch_max_wait_ms: int = 50
    """Bounds the wait of a partition that is not in the request under way; a broker has one such request at a time."""
    session_timeout_ms: int = 10_000
    heartbeat_ms: int = 2_000
    rebalance_timeout_ms: int = 60_000
    revoke_limit_seconds: float = 45.0
    """Longest wait of a rebalance for the running transaction; less than rebalance_timeout_ms."""
    commit_limit_seconds: float = 10.0
    stop_limit_seconds: float = 10.0
    first_wait_seconds: float = 0.1
    """While the database is away or the consumer must be rebuilt; doubled each time up to max_wait_seconds."""
    max_wait_seconds: float = 5.0
    lag_seconds: float = 15.0
    """How often the lag is asked for; several answers in a row with lag but no records have the consumer rebuilt."""
    replay: ReplayOptions = field(default_factory=ReplayOptions)
    """Of what is parked."""
