-- Says whose webhooks belong to a connection, until its accounts are discovered. Runs before the code that reads it; old code leaves it empty.
-- migrate:up
SET LOCAL lock_timeout = '3s';

ALTER TABLE connections
    ADD COLUMN accounts text[] NOT NULL DEFAULT '{}',
    ADD CONSTRAINT connections_have_a_bounded_number_of_accounts CHECK (cardinality(accounts) <= 500);

COMMENT ON COLUMN connections.accounts IS 'as type:id, in our words for types; only the bus''s own operators name them';

-- Putting it in comes with the table's own grants; reading is granted column by column.
GRANT SELECT (accounts) ON connections TO asset_sync_api;

-- migrate:down
ALTER TABLE connections DROP COLUMN accounts;
