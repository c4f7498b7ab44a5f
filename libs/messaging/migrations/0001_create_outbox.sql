-- Events that wait for the relay, written in the transaction of the state they speak of. Runs before the code that appends.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY,
    shard smallint NOT NULL,
    key_hash integer NOT NULL,
    aggregatetype text NOT NULL,
    aggregateid text NOT NULL,
    type text NOT NULL,
    payload bytea,
    event_id text NOT NULL,
    source text NOT NULL,
    event_time text NOT NULL,
    subject text,
    org_id uuid,
    correlation_id text,
    causation_id text,
    version bigint,
    idempotency_key text,
    traceparent text,
    raw_headers bytea,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT outbox_pending_set_per_shard PRIMARY KEY (shard, id),
    CONSTRAINT outbox_shard_is_one_of_eight CHECK (shard BETWEEN 0 AND 7)
) WITH (  -- every row is deleted within moments: dead rows must go before the pending set's index walks over them
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
);

COMMENT ON TABLE outbox IS 'a superset of the columns of Debezium''s outbox event router';
COMMENT ON COLUMN outbox.id IS 'order of a key, because the key''s row or advisory lock is held before the insert; not order of commit';
COMMENT ON COLUMN outbox.shard IS 'from the hash of the key; one relay at a time works on a shard';
COMMENT ON COLUMN outbox.key_hash IS 'murmur2 of the key as Kafka''s default partitioner has it, made by the many writers instead of the one relay';
COMMENT ON COLUMN outbox.aggregatetype IS 'the topic';
COMMENT ON COLUMN outbox.aggregateid IS 'the record''s key';
COMMENT ON COLUMN outbox.payload IS 'the record''s value as it goes out; null is a tombstone';
COMMENT ON COLUMN outbox.event_time IS 'the ce_time header as it goes out, so that the relay need not format it';
COMMENT ON COLUMN outbox.raw_headers IS 'the untouched headers of a dead letter''s copy, sent in place of those made from the columns';

ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;

-- Keys whose next record the broker refuses for good (too large for the topic): they wait, all other keys go on.
CREATE TABLE outbox_blocked_keys (
    topic text NOT NULL,
    key text NOT NULL,
    shard smallint NOT NULL,
    outbox_id bigint NOT NULL,
    reason text NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    blocked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_try_at timestamptz NOT NULL,
    CONSTRAINT outbox_blocked_keys_one_row_per_key PRIMARY KEY (topic, key)
);

DO $policies$
DECLARE
    worker text := replace(current_user, '_owner', '_worker');
    api text := replace(current_user, '_owner', '_api');
BEGIN
    EXECUTE format('CREATE POLICY outbox_owner_sees_all ON outbox TO %I USING (true) WITH CHECK (true)', current_user);
    EXECUTE format('CREATE POLICY outbox_worker_sees_all ON outbox TO %I USING (true) WITH CHECK (true)', worker);
    EXECUTE format($policy$CREATE POLICY outbox_api_speaks_for_its_organization ON outbox FOR INSERT TO %I
        WITH CHECK (org_id = nullif(current_setting('app.org_id', true), '')::uuid)$policy$, api);
    EXECUTE format('GRANT INSERT ON outbox TO %I', api);
END
$policies$;

-- migrate:down
DROP TABLE outbox_blocked_keys;
DROP TABLE outbox;
