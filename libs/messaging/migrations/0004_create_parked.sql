-- Records that fail for a reason of their own, and behind each the later ones of its key, in order. Runs before the code that parks.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE TABLE parked_keys (
    consumer text NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    status text NOT NULL DEFAULT 'waiting',
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    lease_epoch bigint NOT NULL DEFAULT 0,
    locked_by text,
    locked_until timestamptz,
    last_error text,
    since timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT parked_keys_one_row_per_key PRIMARY KEY (consumer, topic, key),
    CONSTRAINT parked_keys_status_is_known CHECK (status IN ('waiting', 'gave_up'))
);

CREATE INDEX parked_keys_due ON parked_keys (consumer, next_attempt_at) WHERE status = 'waiting';

-- A key's row ends with its last record and may come again: epochs from a sequence never come again.
CREATE SEQUENCE parked_claims;

COMMENT ON TABLE parked_keys IS 'keys that are blocked; whoever adds, replays or ends records of one holds its row locked';
COMMENT ON COLUMN parked_keys.key IS 'what is blocked: the record''s key, what its route names instead, or a place when it has none';
COMMENT ON COLUMN parked_keys.attempts IS 'replays since the last one that got a record through, or since an operator asked';
COMMENT ON COLUMN parked_keys.lease_epoch IS 'of the last claim, from parked_claims; a replay whose claim is not the last one does nothing';

CREATE TABLE parked (
    id uuid PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    consumer text NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    record_key bytea,
    value bytea,
    headers jsonb NOT NULL,
    record_hash bytea NOT NULL,
    event_id text,
    type text,
    version bigint,
    status text NOT NULL DEFAULT 'open',
    attempts integer NOT NULL DEFAULT 0,
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    note text,
    edited_at timestamptz,
    original_value bytea,
    CONSTRAINT parked_keeps_a_record_once UNIQUE (consumer, topic, partition, record_offset, record_hash),
    CONSTRAINT parked_status_is_known CHECK (status IN ('open', 'replayed', 'superseded', 'dropped')),
    CONSTRAINT parked_end_has_a_time CHECK ((status = 'open') = (ended_at IS NULL))
);

CREATE INDEX parked_open_in_order ON parked (consumer, topic, key, seq) WHERE status = 'open';
CREATE INDEX parked_by_event ON parked (event_id);

COMMENT ON COLUMN parked.seq IS 'the order in which a key''s records are replayed';
COMMENT ON COLUMN parked.headers IS 'pairs [name, base64 of the value or null], in the order of the record';
COMMENT ON COLUMN parked.record_hash IS 'SHA-256 of key, value and headers as they came: a topic made anew counts its offsets from 0 again';
COMMENT ON COLUMN parked.version IS 'of a state topic''s record: replay takes the newest';
COMMENT ON COLUMN parked.attempts IS 'how often the handler failed on it; 0 while it only waits behind another';
COMMENT ON COLUMN parked.original_value IS 'as it came, once an operator has edited it';

-- Dead letters can be edited too.
ALTER TABLE dead_letters ADD COLUMN edited_at timestamptz, ADD COLUMN original_value bytea;

CREATE TABLE operator_actions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    done_at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    subject_id uuid NOT NULL,
    note text,
    replaced_value bytea,
    CONSTRAINT operator_actions_action_is_known CHECK (action IN ('edit', 'redrive', 'drop')),
    CONSTRAINT operator_actions_subject_is_known CHECK (subject IN ('parked', 'dead_letter'))
);

CREATE INDEX operator_actions_of ON operator_actions (subject_id, id);

COMMENT ON TABLE operator_actions IS 'who did what to parked records and dead letters; only ever added to, until retention';
COMMENT ON COLUMN operator_actions.replaced_value IS 'what an edit replaced';

-- migrate:down
DROP TABLE operator_actions;
ALTER TABLE dead_letters DROP COLUMN original_value, DROP COLUMN edited_at;
DROP TABLE parked;
DROP SEQUENCE parked_claims;
DROP TABLE parked_keys;
