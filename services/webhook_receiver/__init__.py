"""webhook_receiver: what platforms push, verified, stored, then answered; split and published once to whom it concerns.

Consumes: assets.connections; ingest.identities (organization, api_key, producer)
Publishes: webhooks.events (webhook.received), webhook_receiver.dead_letters
Owns: webhook_apps, webhook_app_secrets, webhook_events and webhook_changes (both by month), webhook_keys, connections,
      connection_accounts, audit_log, and the tables of libs: outbox, inbox, dead letters, leases, jobs, identities
Calls: nothing
"""
