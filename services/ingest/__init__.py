"""ingest: the front door. Admits requests from Kafka and HTTP, knows who may ask, and tells how each request ended.

Consumes:  requests (request.submitted); batcher.results (api_request.completed, api_request.failed);
           assets.connections (connection); webhooks.events (webhook.received)
Publishes: ingest.accepted (api_request.accepted, request.rejected);
           ingest.identities (organization, api_key, producer); ingest.dead_letters
Owns:      schema ingest: organizations, api_keys, producers, audit_log, requests, request_result_parts, webhooks,
           connections (a projection without secrets)
Calls:     nobody
"""
