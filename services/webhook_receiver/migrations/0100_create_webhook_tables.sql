-- Apps that platforms push to, what they pushed, its single changes and who got them. Runs before the code that receives.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE TABLE webhook_apps (
    id uuid PRIMARY KEY,
    platform text NOT NULL,
    app text NOT NULL,
    name text NOT NULL,
    sealed_verify_token jsonb NOT NULL,
    kek_id text NOT NULL GENERATED ALWAYS AS (sealed_verify_token ->> 'kek_id') STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_apps_are_named_once UNIQUE (platform, app),
    CONSTRAINT webhook_apps_app_is_one_word_of_a_path CHECK (app ~ '^[A-Za-z0-9._-]{1,100}$'),
    CONSTRAINT webhook_apps_are_sealed_under_a_named_key
        CHECK (sealed_verify_token ?& ARRAY['kek_id', 'wrapped_key', 'ciphertext'])
);
COMMENT ON COLUMN webhook_apps.app IS 'the last word of the address that the platform pushes to; for Meta the app id';

CREATE TABLE webhook_app_secrets (
    id uuid PRIMARY KEY,
    app_id uuid NOT NULL REFERENCES webhook_apps (id) ON DELETE CASCADE,
    slot smallint NOT NULL,
    sealed_secret jsonb,
    kek_id text GENERATED ALWAYS AS (sealed_secret ->> 'kek_id') STORED,
    hint text NOT NULL,
    status text NOT NULL DEFAULT 'active',
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    CONSTRAINT webhook_app_secrets_at_most_two_are_active CHECK (slot IN (1, 2)),
    CONSTRAINT webhook_app_secrets_status_is_known CHECK (status IN ('active', 'retired')),
    CONSTRAINT webhook_app_secrets_end_has_a_time CHECK ((status = 'retired') = (retired_at IS NOT NULL)),
    CONSTRAINT webhook_app_secrets_go_when_retired CHECK ((status = 'active') = (sealed_secret IS NOT NULL)),
    CONSTRAINT webhook_app_secrets_are_sealed_under_a_named_key
        CHECK (sealed_secret IS NULL OR sealed_secret ?& ARRAY['kek_id', 'wrapped_key', 'ciphertext'])
);
CREATE UNIQUE INDEX webhook_app_secrets_one_active_per_slot ON webhook_app_secrets (app_id, slot) WHERE status = 'active';
COMMENT ON COLUMN webhook_app_secrets.hint IS 'last four characters, for people';

-- One row is one delivery, as it came. The edge inserts rows and never looks back; the owner of the row's shard does the rest.
CREATE TABLE webhook_events (
    seq bigint GENERATED ALWAYS AS IDENTITY,
    id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    platform text NOT NULL,
    app text NOT NULL,
    signature text,
    signature_valid boolean NOT NULL DEFAULT true,
    headers jsonb NOT NULL,
    raw bytea,
    body_bytes integer NOT NULL,
    body_hash bytea NOT NULL,
    source_ip text,
    user_agent text,
    traceparent text,
    shard smallint NOT NULL,
    status text NOT NULL DEFAULT 'received',
    reason text,
    error text,
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 10,
    next_attempt_at timestamptz,
    locked_by text,
    lease_epoch bigint NOT NULL DEFAULT 0,
    processed_at timestamptz,
    replays integer NOT NULL DEFAULT 0,
    CONSTRAINT webhook_events_have_an_id PRIMARY KEY (id, received_at),
    CONSTRAINT webhook_events_status_is_known
        CHECK (status IN ('received', 'processing', 'processed', 'failed', 'ignored', 'duplicate')),
    CONSTRAINT webhook_events_shard_is_one_of_eight CHECK (shard BETWEEN 0 AND 7),
    CONSTRAINT webhook_events_of_a_wrong_signature_are_ignored CHECK (signature_valid OR status = 'ignored')
) PARTITION BY RANGE (received_at);

COMMENT ON COLUMN webhook_events.seq IS 'order of arrival';
COMMENT ON COLUMN webhook_events.id IS 'version 7, so that the order of the ids is that of time';
COMMENT ON COLUMN webhook_events.raw IS 'the body, byte for byte; its beginning when the signature is wrong; null when it was not to be kept';
COMMENT ON COLUMN webhook_events.body_hash IS 'SHA-256 of the whole body';
COMMENT ON COLUMN webhook_events.shard IS 'from platform and app; one process at a time works on a shard, under the lease webhooks/<shard>';
COMMENT ON COLUMN webhook_events.reason IS 'why it is ignored or failed, in a word that does not change';
COMMENT ON COLUMN webhook_events.lease_epoch IS 'of the shard''s lease when the row was claimed last';
COMMENT ON COLUMN webhook_events.next_attempt_at IS 'of a failed one: when it is tried again; null: not before somebody replays it';

CREATE INDEX webhook_events_open ON webhook_events (shard, seq) WHERE status IN ('received', 'processing');
CREATE INDEX webhook_events_to_try_again ON webhook_events (shard, next_attempt_at)
    WHERE status = 'failed' AND next_attempt_at IS NOT NULL;
CREATE INDEX webhook_events_not_published ON webhook_events (status, id) WHERE status IN ('failed', 'ignored', 'duplicate');

-- One row is one thing that happened, split out of a delivery.
CREATE TABLE webhook_changes (
    event_id uuid NOT NULL,
    position integer NOT NULL,
    received_at timestamptz NOT NULL,
    external_event_id text NOT NULL,
    object text NOT NULL,
    field text NOT NULL,
    change_type text NOT NULL,
    account_type text NOT NULL,
    account_id text NOT NULL,
    occurred_at timestamptz,
    status text NOT NULL,
    reason text,
    CONSTRAINT webhook_changes_have_a_place PRIMARY KEY (event_id, position, received_at),
    CONSTRAINT webhook_changes_status_is_known CHECK (status IN ('processed', 'ignored', 'duplicate'))
) PARTITION BY RANGE (received_at);

-- Take what no month's partition takes, so that a job which did not run for long stops no delivery from being kept.
CREATE TABLE webhook_events_default PARTITION OF webhook_events DEFAULT;
CREATE TABLE webhook_changes_default PARTITION OF webhook_changes DEFAULT;

CREATE FUNCTION make_webhook_partitions(months_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $function$
DECLARE
    parent text;
    child text;
    month timestamptz;
    made integer := 0;
BEGIN
    IF months_ahead IS NULL OR months_ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'months_ahead must be 0 to 24, not %', months_ahead USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('webhooks.partitions'), 0);
    FOREACH parent IN ARRAY ARRAY['webhook_events', 'webhook_changes'] LOOP
        FOR ahead IN 0..months_ahead LOOP
            month := date_trunc('month', now(), 'UTC') + make_interval(months => ahead);
            child := parent || to_char(month AT TIME ZONE 'UTC', '"_"YYYYMM');
            CONTINUE WHEN to_regclass(child) IS NOT NULL;
            -- Made apart and attached, so that rows which came before their month existed can move in from the default.
            -- A queue lives in these tables: dead rows must go before its index walks over them.
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH (fillfactor = 90,'
                ' autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)', child, parent);
            EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_default');
            EXECUTE format('WITH early AS (DELETE FROM %I WHERE received_at >= %L AND received_at < %L RETURNING *)'
                ' INSERT INTO %I SELECT * FROM early', parent || '_default', month, month + interval '1 month', child);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                parent, child, month, month + interval '1 month');
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$function$;

CREATE FUNCTION drop_webhook_partitions(ended_before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $function$
DECLARE
    old record;
    dropped integer := 0;
BEGIN
    IF ended_before IS NULL OR ended_before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'ended_before must be at least a day ago, not %', ended_before
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('webhooks.partitions'), 0);
    FOR old IN
        SELECT child.relname AS name
        FROM pg_catalog.pg_inherits AS link
        JOIN pg_catalog.pg_class AS child ON child.oid = link.inhrelid
        WHERE link.inhparent IN ('webhook_events'::regclass, 'webhook_changes'::regclass)
            AND child.relname ~ '_[0-9]{6}$'
            AND (to_date(right(child.relname, 6), 'YYYYMM') + interval '1 month') AT TIME ZONE 'UTC' <= ended_before
        ORDER BY child.relname
    LOOP
        EXECUTE format('DROP TABLE %I', old.name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$function$;

SELECT make_webhook_partitions(2);

-- What was published to whom: a change goes to an organization once, whoever delivers it and however often it is replayed.
CREATE TABLE webhook_keys (
    org_id uuid NOT NULL,
    platform text NOT NULL,
    external_event_id text NOT NULL,
    connection_id uuid NOT NULL,
    event_id uuid NOT NULL,
    position integer NOT NULL,
    outbox_event_id text NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_keys_a_change_once_per_organization PRIMARY KEY (org_id, platform, external_event_id)
);
CREATE INDEX webhook_keys_of_a_delivery ON webhook_keys (event_id);
CREATE INDEX webhook_keys_by_time ON webhook_keys (published_at);
COMMENT ON COLUMN webhook_keys.outbox_event_id IS 'ce_id of the webhook.received that says so';

-- Projection of assets.connections. A connection that ended stays as a row, so that an older state cannot bring it back.
CREATE TABLE connections (
    connection_id uuid PRIMARY KEY,
    org_id uuid NOT NULL,
    platform text NOT NULL,
    status text NOT NULL,
    created_at timestamptz NOT NULL,
    version bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN connections.created_at IS 'as received; of a state that does not say it, the time of the first state that was seen';

CREATE TABLE connection_accounts (
    connection_id uuid NOT NULL REFERENCES connections (connection_id) ON DELETE CASCADE,
    org_id uuid NOT NULL,
    platform text NOT NULL,
    account_type text NOT NULL,
    account_id text NOT NULL,
    CONSTRAINT connection_accounts_named_once PRIMARY KEY (connection_id, account_type, account_id)
);
CREATE INDEX connection_accounts_by_account ON connection_accounts (platform, account_id, account_type);

CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor_key_id uuid,
    actor_role text,
    action text NOT NULL,
    subject text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON COLUMN audit_log.actor_key_id IS 'null: a job of ours';

DO $policies$
DECLARE
    table_name text;
    worker text := replace(current_user, '_owner', '_worker');
    api text := replace(current_user, '_owner', '_api');
BEGIN
    -- Nobody asks over HTTP for one organization here: deliveries are of an app, which serves all. So the api role, as
    -- which the edge writes what strangers send, puts deliveries in and reads nothing at all.
    FOREACH table_name IN ARRAY ARRAY['webhook_keys', 'connections', 'connection_accounts'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format('CREATE POLICY %I ON %I TO %I, %I USING (true) WITH CHECK (true)',
            table_name || '_service_sees_all', table_name, current_user, worker);
    END LOOP;
    EXECUTE format('GRANT INSERT ON webhook_events TO %I', api);
    -- A record of who did what is only ever added to.
    EXECUTE format('REVOKE UPDATE, DELETE ON audit_log FROM %I', worker);
END
$policies$;

-- migrate:down
DROP TABLE audit_log;
DROP TABLE connection_accounts;
DROP TABLE connections;
DROP TABLE webhook_keys;
DROP FUNCTION drop_webhook_partitions(timestamptz);
DROP FUNCTION make_webhook_partitions(integer);
DROP TABLE webhook_changes;
DROP TABLE webhook_events;
DROP TABLE webhook_app_secrets;
DROP TABLE webhook_apps;
