-- Lets `platformbus trace show` find what was done to a connection, and by which key. Runs before the code that asks; writers wait while it builds.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE INDEX audit_log_by_subject ON audit_log (subject, id DESC);
CREATE INDEX idempotency_keys_by_key ON idempotency_keys (key);

-- migrate:down
DROP INDEX idempotency_keys_by_key;
DROP INDEX audit_log_by_subject;
