"""asset_sync: connections to the platforms with their credentials, which only leave it sealed.

Consumes: ingest.identities (organization, api_key, producer)
Publishes: assets.connections (connection and its tombstone), asset_sync.dead_letters
Owns: connections, ended_connections, idempotency_keys, audit_log, and the tables of libs: outbox, inbox, dead letters,
      leases, jobs, identities
Calls: the platforms' answer about a token, through libs/platforms
"""
