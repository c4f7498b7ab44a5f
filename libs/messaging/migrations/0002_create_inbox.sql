-- What each consumer has handled already, so that a redelivered record has no second effect. Runs before the code that consumes.
-- migrate:up
SET LOCAL lock_timeout = '3s';

-- No index on received_at: the pruning job walks the table by pages once a day, and inserts stay cheap.
CREATE TABLE inbox (
    consumer text NOT NULL,
    source text NOT NULL,
    event_id text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT inbox_handles_an_event_once PRIMARY KEY (consumer, source, event_id)
);

COMMENT ON TABLE inbox IS 'facts and commands; forgets after the longest possible redelivery';

CREATE TABLE state_versions (
    consumer text NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    last_version bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT state_versions_one_row_per_key PRIMARY KEY (consumer, topic, key)
) WITH (fillfactor = 70);  -- updated in place for ever: room on the page keeps the updates off the index

COMMENT ON TABLE state_versions IS 'state topics: newest version applied; outlives the projection''s own row';

-- migrate:down
DROP TABLE state_versions;
DROP TABLE inbox;
