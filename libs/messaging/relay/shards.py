"""Which shards of the outbox this relay owns now, by its own clock and with a margin."""

import time
from typing import Final

from libs.messaging import metrics
from libs.messaging.outbox import SHARDS
from libs.messaging.relay.store import LEASE_PREFIX
from libs.postgres import Connection, leases

_NAMES: Final = [f"{LEASE_PREFIX}{shard}" for shard in range(SHARDS)]
_MARGIN: Final = 0.75
"""Of the lease's term: nothing is begun after it, so that clocks may differ and a send may take a moment."""


class Shards:
    """The leases of all shards. A shard is ours until a moment on the monotonic clock, which a freeze does not stop."""

    def __init__(self, owner: str, lease_seconds: float) -> None:
        self.owner = owner
        self._lease_seconds = lease_seconds
        self._epochs: dict[int, int] = {}
        self._valid_until = 0.0

    async def renew(self, conn: Connection) -> None:
        """Renew what is ours and take what is free or has run out."""
        asked_at = time.monotonic()
        taken = await leases.take(conn, _NAMES, self.owner, self._lease_seconds)
        self._epochs = {int(name.removeprefix(LEASE_PREFIX)): epoch for name, epoch in taken.items()}
        self._valid_until = asked_at + self._lease_seconds * _MARGIN
        for shard in range(SHARDS):
            metrics.LEASE_HELD.labels(str(shard)).set(shard in self._epochs)

    def held(self) -> dict[int, int]:
        """Give shard -> epoch of what is ours at this moment; empty once the margin is reached."""
        return self._epochs if time.monotonic() < self._valid_until else {}

    def still_hold(self, epochs: dict[int, int]) -> bool:
        """Whether all of these are still ours under the same epochs."""
        held = self.held()
        return all(held.get(shard) == epoch for shard, epoch in epochs.items())

    async def release(self, conn: Connection) -> None:
        """Give all back, so that another relay need not wait for the end of the lease."""
        await leases.release(conn, _NAMES, self.owner)
        self._epochs = {}
        for shard in range(SHARDS):
            metrics.LEASE_HELD.labels(str(shard)).set(0)
