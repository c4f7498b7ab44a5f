"""batcher: collects API reads of all organizations, coalesces equal ones, packs them into bulk calls, minds the quotas.

Consumes: ingest.accepted (api_request.accepted), assets.connections (connection), ingest.identities (organization,
          api_key, producer)
Publishes: batcher.results (api_request.completed, api_request.failed), batcher.dead_letters
Owns: batch_request_queue (asks), calls, batch_execution_log, quota_ledger, connections (projection), paused_platforms,
      and the tables of libs: outbox, inbox, dead letters, leases, jobs, identities
Calls: the platforms' bulk reads, through libs/platforms; Valkey, through libs/quota
Upgrade: before ingest; a type of read that ingest accepts and no batcher here knows yet is answered as rejected.
"""
