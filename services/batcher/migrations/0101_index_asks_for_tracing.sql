-- Lets `platformbus trace show` find an ask by the event that asked. Runs before the code that asks; writers wait while it builds.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE INDEX asks_by_event ON batch_request_queue (event_id);

-- migrate:down
DROP INDEX asks_by_event;
