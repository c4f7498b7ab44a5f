"""Which shards this process works on now, by its own clock and with a margin. One process at a time owns a shard."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from libs.postgres import Connection, leases
from services.webhook_receiver.models import SHARDS
from services.webhook_receiver.store import deliveries

PREFIX: Final = "webhooks/"
LEASE_SECONDS: Final = 5.0
_NAMES: Final = [f"{PREFIX}{shard}" for shard in range(SHARDS)]
_MARGIN: Final = 0.75
"""Of the lease's term: nothing is begun after it."""


class LeaseLost(Exception):  # noqa: N818  reads as the fact it reports
    """Somebody else owns a shard now: whatever was about to be written must not be."""


class Shards:
    """The leases of all shards, held by one owner: one start of one process."""

    def __init__(
        self, owner: str, *, lease_seconds: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.owner: Final = owner
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._epochs: dict[int, int] = {}
        self._asked_at = float("-inf")

    @property
    def are_due(self) -> bool:
        """Whether the leases should be renewed before more is begun: four times a term."""
        return self._clock() - self._asked_at >= self._lease_seconds / 4

    async def renew(self, conn: Connection) -> None:
        """Renew what is ours and take what is free or has run out, in the open transaction; waits for nobody."""
        asked_at = self._clock()
        names = await deliveries.list_takeable(conn, _NAMES, self.owner)
        taken = await leases.take(conn, names, self.owner, self._lease_seconds) if names else {}
        self._epochs = {int(name.removeprefix(PREFIX)): epoch for name, epoch in taken.items()}
        self._asked_at = asked_at

    def held(self) -> Mapping[int, int]:
        """Give shard -> epoch of what is ours at this moment; empty once the margin is reached."""
        return self._epochs if self._clock() - self._asked_at < self._lease_seconds * _MARGIN else {}

    async def fence(self, conn: Connection, epochs: Mapping[int, int]) -> None:
        """Make sure that these are ours until the transaction ends. Raises LeaseLost."""
        wanted = {f"{PREFIX}{shard}": epoch for shard, epoch in epochs.items()}
        held = await leases.lock_held(conn, wanted, self.owner)
        if held != wanted.keys():
            lost = sorted(wanted.keys() - held)
            self._asked_at = float("-inf")
            raise LeaseLost(f"{', '.join(lost)} of {self.owner} went to another owner")

    async def release(self, conn: Connection) -> None:
        """Give all back, so that another process need not wait for the end of the lease."""
        await leases.release(conn, _NAMES, self.owner)
        self._epochs = {}
        self._asked_at = float("-inf")
