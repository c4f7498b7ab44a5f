-- Who of several replicas may do a named thing now (relay shards, for one). Runs before the code that takes leases.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE TABLE leases (
    name text PRIMARY KEY,
    owner text,
    epoch bigint NOT NULL,
    until timestamptz NOT NULL,
    CONSTRAINT epoch_starts_at_one CHECK (epoch >= 1)
) WITH (fillfactor = 50);  -- renewed every few seconds in place: room on the page keeps the updates off the index

COMMENT ON COLUMN leases.owner IS 'one process of one start; null when given back';
COMMENT ON COLUMN leases.epoch IS 'grows whenever the owner changes; every write under the lease must still match it';

-- migrate:down
DROP TABLE leases;
