-- Lets a replay of what was ignored find changes that found nobody beside others that did. Runs before the code that asks; writers wait while it builds.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE INDEX webhook_changes_ignored ON webhook_changes (event_id) WHERE status = 'ignored';

-- migrate:down
DROP INDEX webhook_changes_ignored;
