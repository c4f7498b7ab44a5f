"""Which service owns which schema, and how its roles are named: the same as in deploy/postgres/roles.sql."""

from typing import Literal

DatabaseRole = Literal["owner", "worker", "api"]

SCHEMAS: dict[str, str] = {
    "ingest": "ingest",
    "asset_sync": "assets",
    "batcher": "batching",
    "webhook_receiver": "webhooks",
}
"""Schema by service; a service may read and write no other."""


def role_name(service: str, role: DatabaseRole) -> str:
    """Name of a service's database role, e.g. `batcher_worker`."""
    return f"{service}_{role}"
