-- Lets a delivery show who replayed it. Runs before the code that asks; the log is short, and its writers wait while it builds.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE INDEX audit_log_by_subject ON audit_log (subject, id);

-- migrate:down
DROP INDEX audit_log_by_subject;
