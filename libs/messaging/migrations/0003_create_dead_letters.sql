-- Records that do not fit their contract, as they came; the topic <service>.dead_letters is a copy. Runs before the code that consumes.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE TABLE dead_letters (
    id uuid PRIMARY KEY,
    consumer text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    key bytea,
    value bytea,
    headers jsonb NOT NULL,
    record_hash bytea NOT NULL,
    reason text NOT NULL,
    status text NOT NULL DEFAULT 'open',
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    note text,
    CONSTRAINT dead_letters_keep_a_record_once UNIQUE (consumer, topic, partition, record_offset, record_hash),
    CONSTRAINT dead_letters_status_is_known CHECK (status IN ('open', 'redriven', 'dropped')),
    CONSTRAINT dead_letters_end_has_a_time CHECK ((status = 'open') = (ended_at IS NULL))
);

CREATE INDEX dead_letters_open ON dead_letters (created_at, id) WHERE status = 'open';

COMMENT ON COLUMN dead_letters.headers IS 'pairs [name, base64 of the value or null], in the order of the record';
COMMENT ON COLUMN dead_letters.record_hash IS 'SHA-256 of key, value and headers: a topic made anew counts its offsets from 0 again';

-- migrate:down
DROP TABLE dead_letters;
