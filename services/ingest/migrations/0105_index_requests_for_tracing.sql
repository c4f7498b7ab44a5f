-- Lets `platformbus trace show` find requests by the ids that callers know. Runs before the code that asks; writers wait while it builds.
-- migrate:up
SET LOCAL lock_timeout = '3s';

-- Most requests have one id under several names (over Kafka the event's, over HTTP the request's): each is indexed once.
CREATE INDEX requests_by_correlation ON requests (correlation_id) WHERE via = 'kafka';
CREATE INDEX requests_by_event ON requests (event_id) WHERE event_id <> correlation_id;
CREATE INDEX requests_by_idempotency_key ON requests (idempotency_key) WHERE idempotency_key <> correlation_id;

-- migrate:down
DROP INDEX requests_by_idempotency_key;
DROP INDEX requests_by_event;
DROP INDEX requests_by_correlation;
