-- Drops an index that nothing asks any more: webhooks go by their events' ids. Runs after the code that stopped asking; older code reads all of the table once a night.
-- migrate:up
SET LOCAL lock_timeout = '3s';

DROP INDEX webhooks_by_age;

-- migrate:down
CREATE INDEX webhooks_by_age ON webhooks USING brin (received_at) WITH (autosummarize = on);
