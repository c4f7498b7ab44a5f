-- The batcher's queue: what organizations ask, the calls that answer them, and their history. Runs before the code that batches.
-- migrate:up
SET LOCAL lock_timeout = '3s';

-- Projection of assets.connections. A connection that ended stays as a row without a token, so that asks fail clearly.
CREATE TABLE connections (
    connection_id uuid PRIMARY KEY,
    org_id uuid NOT NULL,
    platform text NOT NULL,
    app_id text,
    status text NOT NULL,
    sealed_access_token jsonb,
    version bigint NOT NULL,
    refused_version bigint,
    updated_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON COLUMN connections.sealed_access_token IS 'as received; null when the connection ended';
COMMENT ON COLUMN connections.refused_version IS 'the platform refused the token of this version: nothing is sent with it again';

-- One row is one call that may answer many asks; it belongs to no organization, only to a connection.
CREATE TABLE calls (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    platform text NOT NULL,
    connection_id uuid NOT NULL,
    request_type text NOT NULL,
    request_key text NOT NULL,
    params jsonb NOT NULL,
    priority smallint NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    due_at timestamptz NOT NULL,
    held_for text,
    waits_for_connection_version bigint,
    locked_by text,
    locked_until timestamptz,
    lease_epoch bigint NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL,
    last_error text,
    http_status integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT calls_priority_is_1_to_10 CHECK (priority BETWEEN 1 AND 10),
    CONSTRAINT calls_status_is_known CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'skipped')),
    CONSTRAINT calls_lease_has_an_owner_and_an_end CHECK ((locked_by IS NULL) = (locked_until IS NULL)),
    CONSTRAINT calls_held_for_a_known_reason CHECK (held_for IN ('retry', 'quota', 'connection')),
    CONSTRAINT calls_end_has_a_time CHECK ((status IN ('completed', 'failed', 'skipped')) = (ended_at IS NOT NULL))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

COMMENT ON TABLE calls IS 'a queue table of libs/work_queue';
COMMENT ON COLUMN calls.held_for IS 'why it must wait until due_at; null: it waits for company only, so a flush may bring due_at forward';
COMMENT ON COLUMN calls.waits_for_connection_version IS 'a newer state of the connection than this wakes the call';

-- Equal reads of one connection share the call that still waits.
CREATE UNIQUE INDEX calls_pending_once ON calls (connection_id, request_key) WHERE status = 'pending';
CREATE INDEX calls_due ON calls (platform, priority, due_at, id) WHERE status = 'pending';
CREATE INDEX calls_of_connection ON calls (connection_id, priority, due_at, id) WHERE status = 'pending';
CREATE INDEX calls_leased ON calls (locked_until) WHERE status = 'processing';
CREATE INDEX calls_ended ON calls (ended_at) WHERE ended_at IS NOT NULL;

-- One row is one ask of one organization.
CREATE TABLE batch_request_queue (
    id uuid PRIMARY KEY,
    org_id uuid NOT NULL,
    platform text NOT NULL,
    connection_id uuid NOT NULL,
    request_type text NOT NULL,
    request_key text NOT NULL,
    params jsonb NOT NULL,
    priority smallint NOT NULL DEFAULT 5,
    max_wait_seconds real,
    status text NOT NULL DEFAULT 'pending',
    call_id uuid REFERENCES calls (id),
    object_key text NOT NULL,
    event_id text NOT NULL,
    event_source text NOT NULL,
    correlation_id text,
    traceparent text,
    asked_at timestamptz NOT NULL,
    queued_at timestamptz NOT NULL DEFAULT now(),
    give_up_at timestamptz NOT NULL,
    ended_at timestamptz,
    error_code text,
    error_message text,
    CONSTRAINT asks_priority_is_1_to_10 CHECK (priority BETWEEN 1 AND 10),
    CONSTRAINT asks_status_is_known CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'skipped')),
    CONSTRAINT asks_end_has_a_time CHECK ((status IN ('completed', 'failed', 'skipped')) = (ended_at IS NOT NULL))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

COMMENT ON COLUMN batch_request_queue.id IS 'the request''s id, as ingest gave it';
COMMENT ON COLUMN batch_request_queue.request_key IS 'hash of platform, request type and canonical params';
COMMENT ON COLUMN batch_request_queue.event_id IS 'the api_request.accepted that asked; causation of the result';
COMMENT ON COLUMN batch_request_queue.give_up_at IS 'the ask fails when it has no answer by then, whatever it waits for';

CREATE INDEX asks_of_call ON batch_request_queue (call_id);
CREATE INDEX asks_open ON batch_request_queue (platform, status, queued_at) WHERE ended_at IS NULL;
CREATE INDEX asks_ended ON batch_request_queue (ended_at) WHERE ended_at IS NOT NULL;

-- One row per bulk call; no tenant's data.
CREATE TABLE batch_execution_log (
    id uuid NOT NULL DEFAULT uuidv7(),
    platform text NOT NULL,
    started_at timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    outcome text NOT NULL,
    calls integer NOT NULL,
    asks integer NOT NULL,
    completed integer NOT NULL,
    failed integer NOT NULL,
    put_back integer NOT NULL,
    http_calls integer NOT NULL,
    quota_units integer NOT NULL,
    rate_limited boolean NOT NULL,
    highest_used_fraction real,
    CONSTRAINT batch_execution_log_has_an_id PRIMARY KEY (started_at, id)
) PARTITION BY RANGE (started_at);

COMMENT ON COLUMN batch_execution_log.outcome IS 'answered, or the word for the error of the whole call';
COMMENT ON COLUMN batch_execution_log.asks IS 'asks that the calls stood for: what one call per ask would have cost in calls and units';

-- What each bulk call cost in each budget, and what the platform said of it. History only: the limiter decides.
CREATE TABLE quota_ledger (
    id uuid NOT NULL DEFAULT uuidv7(),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    platform text NOT NULL,
    scope text NOT NULL,
    subject text NOT NULL,
    units integer NOT NULL,
    used_fraction real,
    regain_after_seconds real,
    CONSTRAINT quota_ledger_has_an_id PRIMARY KEY (recorded_at, id)
) PARTITION BY RANGE (recorded_at);

-- Takes what no month's partition takes, so that a job which did not run for long stops no call from being recorded.
CREATE TABLE batch_execution_log_default PARTITION OF batch_execution_log DEFAULT;
CREATE TABLE quota_ledger_default PARTITION OF quota_ledger DEFAULT;

CREATE FUNCTION make_history_partitions(months_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $function$
DECLARE
    parent text;
    at_column text;
    child text;
    month timestamptz;
    made integer := 0;
BEGIN
    FOR parent, at_column IN VALUES ('batch_execution_log', 'started_at'), ('quota_ledger', 'recorded_at') LOOP
        FOR ahead IN 0..months_ahead LOOP
            month := date_trunc('month', now(), 'UTC') + make_interval(months => ahead);
            child := parent || to_char(month AT TIME ZONE 'UTC', '"_"YYYYMM');
            IF to_regclass(child) IS NULL THEN
                -- Made apart and attached, so that rows which came before their month existed can move in from the default.
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child, parent);
                EXECUTE format('WITH early AS (DELETE FROM %I WHERE %I >= %L AND %I < %L RETURNING *)'
                    ' INSERT INTO %I SELECT * FROM early',
                    parent || '_default', at_column, month, at_column, month + interval '1 month', child);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                    parent, child, month, month + interval '1 month');
                made := made + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END
$function$;

CREATE FUNCTION drop_history_partitions(ended_before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $function$
DECLARE
    old record;
    dropped integer := 0;
BEGIN
    FOR old IN
        SELECT child.relname AS name
        FROM pg_catalog.pg_inherits AS link
        JOIN pg_catalog.pg_class AS child ON child.oid = link.inhrelid
        WHERE link.inhparent IN ('batch_execution_log'::regclass, 'quota_ledger'::regclass)
            AND child.relname ~ '_[0-9]{6}$'
            AND (to_date(right(child.relname, 6), 'YYYYMM') + interval '1 month') AT TIME ZONE 'UTC' <= ended_before
    LOOP
        EXECUTE format('DROP TABLE %I', old.name);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM batch_execution_log_default WHERE started_at < ended_before;
    DELETE FROM quota_ledger_default WHERE recorded_at < ended_before;
    RETURN dropped;
END
$function$;

SELECT make_history_partitions(2);

CREATE TABLE paused_platforms (
    platform text PRIMARY KEY,
    paused_at timestamptz NOT NULL DEFAULT now(),
    paused_by text NOT NULL
);

ALTER TABLE connections ENABLE ROW LEVEL SECURITY;
ALTER TABLE connections FORCE ROW LEVEL SECURITY;
ALTER TABLE batch_request_queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE batch_request_queue FORCE ROW LEVEL SECURITY;
ALTER TABLE calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE calls FORCE ROW LEVEL SECURITY;

DO $policies$
DECLARE
    worker text := replace(current_user, '_owner', '_worker');
    api text := replace(current_user, '_owner', '_api');
BEGIN
    EXECUTE format('CREATE POLICY connections_owner_sees_all ON connections TO %I USING (true) WITH CHECK (true)',
        current_user);
    EXECUTE format('CREATE POLICY connections_worker_sees_all ON connections TO %I USING (true) WITH CHECK (true)', worker);
    EXECUTE format($policy$CREATE POLICY connections_api_sees_its_organization ON connections FOR SELECT TO %I
        USING (org_id = nullif(current_setting('app.org_id', true), '')::uuid)$policy$, api);
    EXECUTE format('CREATE POLICY asks_owner_sees_all ON batch_request_queue TO %I USING (true) WITH CHECK (true)',
        current_user);
    EXECUTE format('CREATE POLICY asks_worker_sees_all ON batch_request_queue TO %I USING (true) WITH CHECK (true)', worker);
    EXECUTE format($policy$CREATE POLICY asks_api_sees_its_organization ON batch_request_queue FOR SELECT TO %I
        USING (org_id = nullif(current_setting('app.org_id', true), '')::uuid)$policy$, api);
    EXECUTE format('GRANT SELECT (connection_id, org_id, platform, status) ON connections TO %I', api);
    EXECUTE format('GRANT SELECT ON batch_request_queue, paused_platforms TO %I', api);
    EXECUTE format('CREATE POLICY calls_owner_sees_all ON calls TO %I USING (true) WITH CHECK (true)', current_user);
    EXECUTE format('CREATE POLICY calls_worker_sees_all ON calls TO %I USING (true) WITH CHECK (true)', worker);
    -- calls has no organization of its own: a call belongs to whom its connection belongs to, and row security guards those.
    EXECUTE format($policy$CREATE POLICY calls_api_sees_those_of_its_connections ON calls TO %I
        USING (EXISTS (SELECT FROM connections AS known WHERE known.connection_id = calls.connection_id))$policy$, api);
    EXECUTE format('GRANT SELECT (id, platform, connection_id, status, due_at, held_for), UPDATE (due_at) ON calls TO %I', api);
END
$policies$;

-- migrate:down
DROP FUNCTION drop_history_partitions(timestamptz);
DROP FUNCTION make_history_partitions(integer);
DROP TABLE paused_platforms;
DROP TABLE quota_ledger;
DROP TABLE batch_execution_log;
DROP TABLE batch_request_queue;
DROP TABLE calls;
DROP TABLE connections;
