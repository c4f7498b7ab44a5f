-- Lets `platformbus trace show` find a delivery by an event that it became, or by the platform's own key of a change. Runs before the code that asks; writers wait while it builds.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE INDEX webhook_keys_by_event ON webhook_keys (outbox_event_id);
CREATE INDEX webhook_changes_by_key ON webhook_changes (external_event_id);

-- migrate:down
DROP INDEX webhook_changes_by_key;
DROP INDEX webhook_keys_by_event;
