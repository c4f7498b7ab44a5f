"""How parked keys are replayed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """A key's waits grow from the first to the longest, less up to a quarter of jitter."""

    first_wait_seconds: float = 1.0
    """From parking to the first replay; doubled with each that fails."""
    longest_wait_seconds: float = 3_600.0
    poll_seconds: float = 1.0
    """How often it is asked which keys are due."""
    records: int = 200
    """Most records of one replay, which is one transaction: a consumer that meets the key waits for it."""
    seconds: float = 1.0
    """After this long a replay takes no further record."""
    lease_seconds: float = 30.0
    """How long a key stays claimed when its replay does not come back."""
    measure_seconds: float = 10.0
    """How often parked records and dead letters are counted."""
