"""What operators see of connections."""

from typing import Final

from libs.postgres import Connection
from libs.telemetry.metrics import counter, gauge
from libs.vocabulary import PlatformName
from services.asset_sync import store

CONNECTIONS: Final = gauge("connections", "Connections by state", ["platform", "status"])
EXPIRING: Final = gauge("connections_expiring", "Connections whose token expires soon", ["platform"])
RESEALED: Final = counter("connections_resealed_total", "Tokens put under the active key", ["outcome"])
INSPECTED: Final = counter("connections_token_checks_total", "Tokens that a platform was asked about", ["outcome"])


async def measure(conn: Connection, *, expiring_seconds: float) -> None:
    """Count connections, as worker."""
    CONNECTIONS.clear()
    for platform, status, count in await store.count_by_status(conn):
        CONNECTIONS.labels(platform, status).set(count)
    expiring = await store.count_expiring(conn, within_seconds=expiring_seconds)
    for name in PlatformName:
        EXPIRING.labels(name.value).set(expiring.get(name.value, 0))
