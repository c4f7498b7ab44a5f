"""Shows the shared fixtures to every test; the code is in tests/support."""

from tests.support.fixtures import (
    asset_sync_database,
    batcher_database,
    databases,
    empty_database,
    ingest_database,
    kafka_bootstrap,
    load_hypothesis_profile,
    postgres_admin_dsn,
    say,
    servers,
    topics,
    valkey_url,
    webhook_receiver_database,
)
from tests.support.sandbox import sandbox, sandbox_process
from tests.support.webhook_sink import sink

__all__ = [
    "asset_sync_database",
    "batcher_database",
    "databases",
    "empty_database",
    "ingest_database",
    "kafka_bootstrap",
    "postgres_admin_dsn",
    "sandbox",
    "sandbox_process",
    "say",
    "servers",
    "sink",
    "topics",
    "valkey_url",
    "webhook_receiver_database",
]

load_hypothesis_profile()
